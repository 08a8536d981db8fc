"""What the options of precision, memory and loading make of a model."""

from pathlib import Path

import pytest
import torch
from objectives.tiny_family import tiny_batch, tiny_model, tiny_network
from tanren.engine.precision import choose_precision, place
from tanren.events import Report
from tanren.families import sd
from tanren.objectives.denoising import Denoising
from tanren.options.dataset import DatasetOptions
from tanren.options.loss import LossOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings
from tanren.options.training import TrainingOptions
from tiny_models import tiny_sd

CPU, GPU = torch.device("cpu"), torch.device("cuda")
FLOAT32, FP16, BF16 = torch.float32, torch.float16, torch.bfloat16


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("precision") / "model.safetensors")


@pytest.mark.option("mixed_precision", "full_fp16", "full_bf16")
@pytest.mark.parametrize(
    ("options", "device", "compute", "network", "scales"),
    [
        ({}, GPU, FLOAT32, FLOAT32, False),
        ({"mixed_precision": "bf16"}, GPU, BF16, FLOAT32, False),
        ({"mixed_precision": "bf16"}, CPU, BF16, FLOAT32, False),
        ({"mixed_precision": "fp16"}, GPU, FP16, FLOAT32, True),
        ({"mixed_precision": "fp16"}, CPU, FLOAT32, FLOAT32, False),
        ({"mixed_precision": "fp16", "full_fp16": True}, GPU, FP16, FP16, True),
        ({"mixed_precision": "fp16", "full_fp16": True}, CPU, FLOAT32, FLOAT32, False),
        ({"mixed_precision": "bf16", "full_bf16": True}, GPU, BF16, BF16, False),
    ],
)
def test_precision_of_the_frozen_model_and_of_the_network(options, device, compute, network, scales):
    chosen = choose_precision(TrainingOptions(**options), device, Report())

    assert (chosen.compute, chosen.network, chosen.scales_loss) == (compute, network, scales)


def loaded(path, *, mixed_precision="no", **options):
    options = ModelOptions(pretrained_model_name_or_path=str(path), **options)
    precision = choose_precision(TrainingOptions(mixed_precision=mixed_precision), CPU, Report())
    settings = Settings("train_network", [options, AttentionOptions(), DatasetOptions()])
    return sd.load(settings, place(precision, options), Report())


def dtypes(part):
    return {parameter.dtype for parameter in part.parameters()}


@pytest.mark.option("mixed_precision", "no_half_vae")
@pytest.mark.parametrize(
    ("options", "unet", "vae"),
    [
        ({}, FLOAT32, FLOAT32),
        ({"mixed_precision": "bf16"}, BF16, BF16),
        ({"mixed_precision": "bf16", "no_half_vae": True}, BF16, FLOAT32),
    ],
)
def test_the_parts_are_loaded_in_their_precision(path, options, unet, vae):
    model = loaded(path, **options)

    assert (dtypes(model.denoiser), dtypes(model.text_encoders[0]), dtypes(model.vae)) == ({unet}, {unet}, {vae})
    assert model.family.encode_pixels(model, torch.zeros(1, 3, 64, 64), torch.zeros(1, 4, 8, 8)).dtype is FLOAT32


@pytest.mark.option("fp8_base", "fp8_base_unet")
@pytest.mark.parametrize(
    ("options", "unet", "text"),
    [({}, False, False), ({"fp8_base_unet": True}, True, False), ({"fp8_base": True}, True, True)],
)
def test_the_parts_that_were_asked_for_are_kept_in_eight_bits(path, options, unet, text):
    model = loaded(path, mixed_precision="bf16", **options)

    found = [torch.float8_e4m3fn in dtypes(part) for part in (model.denoiser, model.text_encoders[0], model.vae)]
    assert found == [unet, text, False]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")
@pytest.mark.option("disable_mmap_load_safetensors")
@pytest.mark.parametrize("disabled", [False, True])
def test_a_file_is_mapped_while_its_model_is_used_unless_that_is_switched_off(path, tmp_path, disabled):
    own = tmp_path / "of its own.safetensors"
    own.write_bytes(path.read_bytes())

    model = loaded(own, disable_mmap_load_safetensors=disabled)

    assert (str(own) in Path("/proc/self/maps").read_text()) is not disabled
    assert model.denoiser.dtype is FLOAT32


@pytest.mark.option("vae_batch_size")
@pytest.mark.parametrize(("at_once", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (8, [3]), (None, [3])])
def test_pictures_that_are_not_cached_are_encoded_that_many_at_a_time(at_once, sizes):
    model = tiny_model()
    goal = Denoising(model, tiny_network(model), LossOptions(), seed=1, vae_batch_size=at_once)
    whole = Denoising(model, tiny_network(model), LossOptions(), seed=1)
    inputs = goal.inputs(tiny_batch((0, 1, 2), pixels=True), 0)
    expected = whole.loss(inputs).loss.detach()
    seen = []
    encode = model.vae.encode
    encode.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))

    loss = goal.loss(inputs).loss.detach()

    assert seen == sizes
    torch.testing.assert_close(loss, expected)
