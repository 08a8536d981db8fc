"""What the caches leave behind: parts of the model that nobody needs any more give their memory back."""

import pytest
import torch
from small_datasets import noise_picture, plan, subset
from tanren.commands import COMMANDS
from tanren.data.dataset import BucketDataset
from tanren.data.scan import scan
from tanren.engine.caching import cache_inputs
from tanren.engine.processes import Processes
from tanren.errors import Problems
from tanren.events import Report
from tanren.families import sdxl
from tanren.families.base import Placement
from tanren.networks.modules import attach_network
from tanren.options.dataset import DatasetOptions
from tanren.options.network import NetworkOptions
from tanren.options.parse import parse
from tiny_models import tiny_sd

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("sdxl") / "sdxl.safetensors", "sdxl")


@pytest.fixture
def cached(path, tmp_path, monkeypatch):
    """The model after the caches of these options were filled, and the data set that reads them."""
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "tanren"))
    noise_picture(tmp_path / "data" / "a.png", text="a cat")

    def caching(*words):
        words = [f"--pretrained_model_name_or_path={path}", "--max_data_loader_n_workers=0", *words]
        settings = parse(
            "sdxl_train_network", COMMANDS["sdxl_train_network"].groups, [*words, "--network_module=networks.lora"]
        ).settings
        model = sdxl.load(settings, Placement(CPU, torch.float32, torch.float32), Report())
        network = attach_network(model, settings[NetworkOptions], 1, lambda path: {})
        found = scan([plan(subset(tmp_path / "data"))], settings[DatasetOptions], None, Problems(), seed=1)
        dataset = BucketDataset(found, settings, sdxl.LATENTS, 1, Report())
        cache_inputs(dataset, model, network, settings, Processes(CPU))
        return model, dataset

    return caching


def holds_weights(module):
    """Whether any number of a module lies in memory."""
    return any(not tensor.is_meta for tensor in [*module.parameters(), *module.buffers()])


BOTH = ("--network_train_unet_only", "--cache_latents", "--cache_text_encoder_outputs")


def test_autoencoder_and_text_encoders_hold_no_memory_once_their_outputs_are_cached(cached):
    model, dataset = cached(*BOTH)

    assert [holds_weights(part) for part in (model.vae, *model.text_encoders)] == [False, False, False]
    assert holds_weights(model.denoiser)
    (batch,) = dataset.loader(
        epoch=0, start_batch=0, process_index=0, num_processes=1, prepare=lambda batch, index: batch
    )
    assert batch.latents.shape == (1, 4, 8, 8)
    assert batch.text.pooled.shape == (1, 20)


@pytest.mark.parametrize(
    ("words", "still_there"),
    [(("--cache_latents",), [False, True, True]), ((BOTH[0], BOTH[2]), [True, False, False]), ((), [True] * 3)],
)
def test_what_is_still_asked_in_every_step_stays(cached, words, still_there):
    model, _ = cached(*words)

    assert [holds_weights(part) for part in (model.vae, *model.text_encoders)] == still_there


def test_sample_pictures_keep_every_part(cached, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat\n", "utf-8")

    model, _ = cached(*BOTH, f"--sample_prompts={tmp_path / 'prompts.txt'}")

    assert all(holds_weights(part) for part in (model.vae, *model.text_encoders))
