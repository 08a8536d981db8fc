"""Whole runs of `sdxl_train_network` on a tiny model that has every module of the real one."""

import pytest
from PIL import Image
from recipes import training
from recipes.training import metadata, same_tensors, tensors
from tanren.entry import main

# The line of sd-scripts' guide for SDXL; paths, resolution and the number of epochs are other ones.
GUIDE = """
    --pretrained_model_name_or_path={model} --dataset_config={dataset} --output_dir={out} --output_name=mine
    --save_model_as=safetensors --network_module=networks.lora --network_dim=32 --network_alpha=16
    --learning_rate=1e-4 --unet_lr=1e-4 --text_encoder_lr1=1e-5 --text_encoder_lr2=1e-5
    --optimizer_type=AdamW8bit --lr_scheduler=constant --max_train_epochs=1 --save_every_n_epochs=1
    --mixed_precision=bf16 --gradient_checkpointing --sdpa --cache_text_encoder_outputs --cache_latents"""
DATASET = """
[general]
caption_extension = '.txt'
[[datasets]]
resolution = 64
batch_size = 6
  [[datasets.subsets]]
  image_dir = '{images}'
  num_repeats = 1
"""
QUIET = {"shuffle_caption": None, "train_batch_size": 6, "network_dim": 2}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return training.base_model(tmp_path_factory.mktemp("model"), "sdxl")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return training.data_folder(tmp_path_factory.mktemp("data") / "data", repeats=1)


def train(model, data, out, **options):
    assert main("sdxl_train_network", training.arguments(model, data, out, **{**QUIET, **options})) == 0
    return out / "waves.safetensors"


def counts(path):
    names = [name.removesuffix(".alpha") for name in tensors(path) if name.endswith(".alpha")]
    return {
        prefix: sum(name.startswith(prefix) for name in names) for prefix in ("lora_unet_", "lora_te1_", "lora_te2_")
    }


def moved(path, prefix):
    """Layers whose change is not zero."""
    return sum(
        bool(tensor.any())
        for name, tensor in tensors(path).items()
        if name.startswith(prefix) and name.endswith("lora_up.weight")
    )


@pytest.fixture(scope="module")
def trained(model, data, tmp_path_factory):
    """One ordinary run with sample pictures."""
    folder = tmp_path_factory.mktemp("trained")
    prompts = folder / "prompts.txt"
    prompts.write_text("sks waves --w 96 --h 64 --s 2 --d 7\n", "utf-8")
    return train(model, data, folder / "out", sample_prompts=prompts, sample_every_n_epochs=1, max_token_length=150)


def test_a_lora_has_kohyas_names_for_the_unet_and_both_text_encoders(trained):
    assert counts(trained) == {"lora_unet_": 722, "lora_te1_": 18, "lora_te2_": 24}
    assert len(tensors(trained)) == 3 * (722 + 18 + 24)


def test_every_layer_has_learned_but_those_whose_output_nobody_reads(trained):
    assert moved(trained, "lora_unet_") == 722
    # Of encoder 1 the last layer's states are not used at all; of encoder 2 they make the pooled state.
    assert moved(trained, "lora_te1_") == 12
    assert moved(trained, "lora_te2_") == 24


def test_the_file_names_its_base(trained):
    said = metadata(trained)

    assert said["ss_base_model_version"] == "sdxl_base_v1-0"
    assert said["ss_v2"] == "False"
    assert said["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert said["modelspec.implementation"] == "https://github.com/Stability-AI/generative-models"
    assert said["modelspec.prediction_type"] == "epsilon"
    assert said["ss_max_token_length"] == "150"


def test_a_sample_picture_is_drawn_at_its_size(trained):
    (picture,) = (trained.parent / "sample").glob("waves_e000001_00_*_7.png")

    with Image.open(picture) as image:
        assert image.size == (96, 64)
        assert "Clip skip" not in image.text["parameters"]


def guide(model, data, tmp_path):
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(DATASET.format(images=next(data.iterdir())), "utf-8")
    return [word.format(model=model, dataset=dataset, out=tmp_path / "out") for word in GUIDE.split()]


def test_the_guides_line_is_refused_and_the_missing_flag_named(model, data, tmp_path, capsys):
    assert main("sdxl_train_network", guide(model, data, tmp_path)) == 2

    said = capsys.readouterr().err
    assert "--cache_text_encoder_outputs: It needs --network_train_unet_only: cached outputs carry no gradient" in said
    assert "Add --network_train_unet_only, or leave --cache_text_encoder_outputs out." in said
    assert not (tmp_path / "out" / "mine.safetensors").exists()


def test_the_guides_line_trains_with_that_flag(model, data, tmp_path):
    assert main("sdxl_train_network", [*guide(model, data, tmp_path), "--network_train_unet_only"]) == 0

    file = tmp_path / "out" / "mine.safetensors"
    assert counts(file) == {"lora_unet_": 722, "lora_te1_": 0, "lora_te2_": 0}
    assert moved(file, "lora_unet_") == 722
    assert metadata(file)["ss_text_encoder_lr"] == "[1e-05, 1e-05]"


def test_caches_in_memory_and_on_disk_train_the_same_lora(model, data, tmp_path):
    only = {"network_train_unet_only": True, "max_token_length": 225}
    in_memory = train(model, data, tmp_path / "memory", cache_text_encoder_outputs=True, cache_latents=True, **only)
    on_disk = {"cache_text_encoder_outputs_to_disk": True, "cache_latents_to_disk": True, **only}
    first = train(model, data, tmp_path / "first", **on_disk)
    again = train(model, data, tmp_path / "again", **on_disk)

    assert same_tensors(in_memory, first)
    assert same_tensors(first, again)


@pytest.mark.option("text_encoder_lr1", "text_encoder_lr2")
def test_each_text_encoder_learns_at_its_own_rate(model, data, tmp_path, capsys):
    file = train(model, data, tmp_path / "out", text_encoder_lr1="0", text_encoder_lr2="5e-4")

    assert moved(file, "lora_te1_") == 0
    assert moved(file, "lora_te2_") == 24
    assert metadata(file)["ss_text_encoder_lr"] == "[0.0, 0.0005]"
    told = "".join(capsys.readouterr())
    assert "textencoder 1" not in told
    assert "textencoder 2, 2,432 weights, learning rate 0.0005" in told


def test_lists_of_another_length_are_refused(model, data, tmp_path, capsys):
    arguments = training.arguments(model, data, tmp_path / "out", network_args=["block_dims=1,2"])

    assert main("sdxl_train_network", arguments) == 2
    assert "block_dims has 2 numbers; this model has 23 blocks." in capsys.readouterr().err


def test_a_resumed_run_with_a_text_cache_on_disk_ends_as_the_one_that_was_not_interrupted(model, data, tmp_path):
    options = {
        "max_train_epochs": 2,
        "train_batch_size": 3,
        "save_state": True,
        "save_every_n_epochs": 1,
        "network_train_unet_only": True,
        "cache_text_encoder_outputs_to_disk": True,
    }
    whole = train(model, data, tmp_path / "whole", **options)

    resumed = train(model, data, tmp_path / "resumed", resume=tmp_path / "whole" / "waves-000001-state", **options)

    assert same_tensors(whole, resumed)
