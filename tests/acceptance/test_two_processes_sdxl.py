"""SDXL in two real processes with a batch of 2: what one process with a batch of 4 learns, and everything around it."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from recipes.training import arguments, base_model, metadata, same_tensors, tensors
from several import run_several
from small_datasets import noise_picture
from tanren.entry import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
EPOCHS = 3
# SGD moves a weight by rate times gradient, so equal weights mean equal gradients.
PLAIN = {
    "max_train_epochs": EPOCHS,
    "optimizer_type": "SGD",
    "learning_rate": "0.1",
    "lr_scheduler": "linear",
    "max_grad_norm": 0,
    "max_data_loader_n_workers": 0,
    "network_dim": 2,
    "network_train_unet_only": True,
    "shuffle_caption": None,
    "flip_aug": None,
    "cache_latents_to_disk": True,
    "cache_text_encoder_outputs_to_disk": True,
    "save_every_n_epochs": 1,
    "save_state": True,
    "validation_split": 0.5,
    "validation_seed": 1,
}
REFUSED = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return base_model(tmp_path_factory.mktemp("model"), "sdxl")


@pytest.fixture(scope="module")
def eight_pictures(tmp_path_factory):
    """Four to train with, in one bucket and one batch an epoch, and four to validate with."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(8):
        noise_picture(folder / "1_noise" / f"{number}.png", text=f"noise, number {number}")
    return folder


@pytest.fixture(scope="module")
def command(model, eight_pictures):
    """A command line; `folder` gets results, job and caches."""

    def words(folder, **options):
        own = {"data_dir": folder / "data", "job_dir": folder / "job"}
        return arguments(model, eight_pictures, folder / "out", **{**PLAIN, **own, **options})

    return words


def train_alone(words):
    return main("sdxl_train_network", words)


def train_as_two(words):
    return run_several(lambda index: main("sdxl_train_network", words))


@pytest.fixture(scope="module")
def alone(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    assert train_alone(command(folder, train_batch_size=4)) == 0
    return folder


@pytest.fixture(scope="module")
def together(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    assert train_as_two(command(folder, train_batch_size=2)) == [0, 0]
    return folder


def events(folder, kind):
    lines = [json.loads(line) for line in (folder / "job/events.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_two_processes_have_the_gradient_of_one_with_twice_the_batch(alone, together):
    facts = metadata(together / "out/waves.safetensors")
    assert (facts["ss_steps"], facts["ss_total_batch_size"]) == (str(EPOCHS), "4")
    one, two = (tensors(folder / "out/waves.safetensors") for folder in (alone, together))
    moved = 0.0
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-7)
        moved = max(moved, float(tensor.abs().max()) if name.endswith("lora_up.weight") else 0.0)
    assert moved > 1e-4


def test_each_process_encodes_its_share_and_both_read_the_same_cache(alone, together):
    for name in ("cache latents", "cache text"):
        shares = [
            [event["done"] for event in events(folder, "phase") if event["name"] == name][-1]
            for folder in (alone, together)
        ]
        assert shares == [8, 4]
    packs = [sorted(path.name for path in (folder / "data/cache").iterdir()) for folder in (alone, together)]
    assert packs[0] == packs[1]
    for name in packs[0]:
        if name.endswith(".pack"):
            sizes = [(folder / "data/cache" / name).stat().st_size for folder in (alone, together)]
            assert sizes[0] == sizes[1] > 0


def test_validation_is_shared_out_and_gives_the_same_loss(alone, together):
    one, two = ([event["average"] for event in events(folder, "validation")] for folder in (alone, together))
    assert len(one) == EPOCHS
    assert two == pytest.approx(one, rel=1e-4)
    done = [event["done"] for event in events(together, "phase") if event["name"] == "validate"]
    assert max(done) == 1


def test_one_process_writes(together):
    names = [f"waves-{number:06d}" for number in range(1, EPOCHS)] + ["waves"]
    found = sorted(path.name for path in (together / "out").iterdir() if not path.name.startswith("."))
    assert found == sorted([f"{name}-state" for name in names] + [f"{name}.safetensors" for name in names])
    assert [event["file"].endswith(".safetensors") for event in events(together, "saved")] == [True] * EPOCHS


def test_two_processes_that_go_on_end_as_those_that_were_not_interrupted(command, together, tmp_path):
    state = together / "out/waves-000001-state"
    assert train_as_two(command(tmp_path, train_batch_size=2, resume=state)) == [0, 0]
    assert same_tensors(tmp_path / "out/waves.safetensors", together / "out/waves.safetensors")


def test_another_number_of_processes_is_refused_unless_it_is_accepted_and_says_what_changes(
    command, together, tmp_path, capsys
):
    """One process makes two updates of an epoch that two made in one."""
    state = together / "out/waves-000001-state"
    words = command(tmp_path, train_batch_size=2, resume=state)

    assert train_alone(words) == REFUSED
    told = json.loads((tmp_path / "job/result.json").read_text("utf-8"))["problem"]
    assert told["why"] == "processes: 2 before, 1 now"
    assert told["fix"] == "Set them back, or accept what they do: --allow_changes processes"

    assert train_alone([*words, "--allow_changes=processes"]) == 0
    said = [event["text"] for event in events(tmp_path, "warning")]
    assert (
        "The state was saved by 2 processes, 1 train now: an update takes 1 batches, not 2; step 1 counts as step 2; "
        "the result is that of neither number alone."
    ) in said
    assert [event["step"] for event in events(tmp_path, "step")] == [3, 4, 5, 6]
    # The schedule goes down evenly to nothing, over 3 epochs of 2 steps.
    assert [event["lr"]["unet"] for event in events(tmp_path, "step")] == pytest.approx(
        [0.1 * 4 / 6, 0.1 * 3 / 6, 0.1 * 2 / 6, 0.1 * 1 / 6]
    )
