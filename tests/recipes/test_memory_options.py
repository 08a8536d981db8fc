"""Whole runs with the options that save memory."""

import os

import pytest
import torch
from recipes import training
from recipes.training import metadata, same_tensors, tensors
from tanren.entry import main

QUIET = {"shuffle_caption": None, "train_batch_size": 3, "network_dim": 2, "flip_aug": None}
ADAFACTOR = {
    "optimizer_type": "Adafactor",
    "optimizer_args": ["relative_step=False", "scale_parameter=False", "warmup_init=False"],
    "lr_scheduler": "constant_with_warmup",
    "max_grad_norm": 0,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.data_folder(tmp_path_factory.mktemp("data") / "data", repeats=1)


def train(command, model, data, out, **options):
    assert main(command, training.arguments(model, data, out, **{**QUIET, **options})) == 0
    return out / "waves.safetensors"


@pytest.mark.option("fp8_base")
def test_an_sdxl_lora_learns_on_a_base_in_eight_bits_and_is_saved_as_ever(data, tmp_path):
    model = training.base_model(tmp_path, "sdxl")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("sks waves --w 64 --h 64 --s 2 --d 7\n", "utf-8")

    file = train(
        "sdxl_train_network",
        model,
        data,
        tmp_path / "out",
        fp8_base=True,
        mixed_precision="bf16",
        gradient_checkpointing=True,
        train_batch_size=6,
        sample_prompts=prompts,
        sample_every_n_epochs=1,
    )

    learned = tensors(file)
    ups = [name for name in learned if name.startswith("lora_unet") and name.endswith("lora_up.weight")]
    assert len(ups) == 722
    assert all(learned[name].any() and learned[name].dtype is torch.float32 for name in ups)
    assert any(learned[name].any() for name in learned if name.startswith("lora_te2") and "lora_up" in name)
    assert len(list((tmp_path / "out" / "sample").glob("*.png"))) == 1
    said = metadata(file)
    assert (said["ss_fp8_base"], said["ss_fp8_base_unet"], said["ss_mixed_precision"]) == ("True", "False", "bf16")


@pytest.mark.option("fused_backward_pass")
def test_a_fused_run_ends_as_an_ordinary_one_and_as_one_that_was_resumed(model, data, tmp_path):
    options = {**ADAFACTOR, "max_train_epochs": 2, "save_state": True, "save_every_n_epochs": 1}
    ordinary = train("train_network", model, data, tmp_path / "ordinary", **options)
    fused = train("train_network", model, data, tmp_path / "fused", fused_backward_pass=True, **options)

    state = tmp_path / "fused" / "waves-000001-state"
    resumed = train("train_network", model, data, tmp_path / "on", fused_backward_pass=True, resume=state, **options)

    assert same_tensors(fused, ordinary)
    assert same_tensors(resumed, fused)


@pytest.mark.option("full_bf16")
def test_with_full_bf16_the_weights_that_learn_are_bfloat16(model, data, tmp_path):
    file = train("train_network", model, data, tmp_path / "out", mixed_precision="bf16", full_bf16=True)

    assert {tensor.dtype for name, tensor in tensors(file).items() if "lora_" in name.split(".", 1)[1]} == {
        torch.bfloat16
    }
    assert metadata(file)["ss_mixed_precision"] == "bf16"


@pytest.mark.option("deterministic")
def test_deterministic_chooses_the_algorithms_of_its_run_only(model, data, tmp_path, monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    short = {"max_train_steps": 1, "max_train_epochs": None}
    train("train_network", model, data, tmp_path / "asked", deterministic=True, **short)
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"

    train("train_network", model, data, tmp_path / "not asked", **short)
    assert not torch.are_deterministic_algorithms_enabled()
    assert same_tensors(tmp_path / "asked/waves.safetensors", tmp_path / "not asked/waves.safetensors")
