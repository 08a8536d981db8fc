"""A trained concept (LECO): the guide's command line, its file in diffusers, both signs of strength, two processes."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from acceptance.test_diffusers_reads_our_lora import (
    INVISIBLE,
    VISIBLE,
    apart,
    diffusers_folder,
    our_model,
    our_network,
    our_picture,
    their_picture,
)
from diffusers import StableDiffusionPipeline
from recipes.training import base_model, metadata, tensors
from several import run_several
from tanren.diffusion.samplers import make_sampler
from tanren.entry import main
from tanren.models.build import quiet_libraries

# As guides print it; only paths and the number of steps are other ones.
GUIDE = """
    --pretrained_model_name_or_path={model} --prompts_file={prompts} --output_dir={out} --output_name=mine
    --network_dim=8 --network_alpha=4 --learning_rate=1e-4 --optimizer_type=AdamW8bit --max_train_steps=2
    --max_denoising_steps=40 --mixed_precision=bf16 --sdpa --gradient_checkpointing --save_every_n_steps=1"""
ERASE = """
[[prompts]]
target = "van gogh"
positive = "van gogh"
unconditional = ""
neutral = ""
action = "erase"
guidance_scale = 1.0
resolution = 64
batch_size = 1
multiplier = 1.0
weight = 1.0
"""
SLIDER = """
guidance_scale = 1.0
resolution = 64
neutral = ""
[[targets]]
target_class = ""
positive = "high detail"
negative = "low detail"
multiplier = 1.0
weight = 1.0
"""
OF_EVERY_NETWORK = (
    "ss_network_module",
    "ss_network_dim",
    "ss_network_alpha",
    "ss_base_model_version",
    "sshs_model_hash",
)
OF_THE_RUN = ("ss_steps", "ss_max_train_steps", "ss_learning_rate", "ss_optimizer", "ss_lr_scheduler", "ss_seed")
# Learns quickly and by rates times gradients alone, so that equal weights mean equal gradients.
PLAIN = [
    *("--network_dim=4", "--network_alpha=4", "--max_denoising_steps=4", "--seed=1", "--lr_scheduler=constant"),
    *("--optimizer_type=SGD", "--learning_rate=0.5", "--max_grad_norm=0", "--max_train_steps=4"),
]


def train(model, folder, prompts, *words, command="train_leco"):
    """Run the command; returns the network's file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.toml").write_text(prompts, "utf-8")
    places = [f"--pretrained_model_name_or_path={model}", f"--prompts_file={folder / 'prompts.toml'}"]
    assert main(command, [*places, f"--output_dir={folder}", "--output_name=mine", *words]) == 0
    return folder / "mine.safetensors"


@pytest.mark.parametrize(
    ("command", "family", "prompts"),
    [("train_leco", "sd1", ERASE), ("train_leco", "sd1", SLIDER), ("sdxl_train_leco", "sdxl", SLIDER)],
    ids=["erase", "slider", "SDXL slider"],
)
def test_the_guides_line_trains_as_it_stands(tmp_path, command, family, prompts):
    (tmp_path / "prompts.toml").write_text(prompts, "utf-8")
    places = {"model": base_model(tmp_path, family), "prompts": tmp_path / "prompts.toml", "out": tmp_path / "out"}

    assert main(command, [word.format(**places) for word in GUIDE.split()]) == 0

    names = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert names == ["mine-step00000001.safetensors", "mine-step00000002.safetensors", "mine.safetensors"]
    found, facts = tensors(tmp_path / "out" / "mine.safetensors"), metadata(tmp_path / "out" / "mine.safetensors")
    assert all(name.startswith("lora_unet_") for name in found)
    assert (facts["ss_network_dim"], facts["ss_network_alpha"]) == ("8", "4.0")
    assert [name for name in (*OF_EVERY_NETWORK, *OF_THE_RUN) if name not in facts] == []
    assert facts["ss_leco_prompts_file"] == "prompts.toml"
    assert facts["ss_leco_prompt_count"] == ("4" if prompts is SLIDER else "1")
    (first, *_) = json.loads(facts["ss_leco_preview"])
    assert first["target"] == ("" if prompts is SLIDER else "van gogh")
    assert facts["modelspec.architecture"].endswith("/lora")
    assert not [name for name in facts if name in ("ss_tag_frequency", "ss_dataset_dirs", "ss_bucket_info")]


@pytest.fixture(scope="module")
def slider(micro, tmp_path_factory):
    """A slider that has learned enough to change every picture."""
    folder = tmp_path_factory.mktemp("slider")
    data = folder / "data"
    text = SLIDER.replace('"high detail"', '"a red star"').replace('"low detail"', '"a blue circle"')
    rates = [word for word in PLAIN if not word.startswith(("--optimizer_type", "--learning_rate"))]
    words = [*rates, "--optimizer_type=AdamW", "--learning_rate=2e-2", f"--data_dir={data}"]
    return train(micro, folder, text, *words)


@pytest.fixture(scope="module")
def pipeline(micro, tmp_path_factory):
    folder = diffusers_folder(micro, tmp_path_factory.mktemp("diffusers"))
    with quiet_libraries():
        pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    pipe.scheduler = make_sampler("ddim", "epsilon")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_diffusers_draws_the_same_pictures_at_both_ends_of_a_slider(micro, slider, pipeline):
    model = our_model(micro)
    without = our_picture(model)
    network = our_network(model, slider)
    pipeline.load_lora_weights(slider)
    try:
        for strength in (1.0, -1.0):
            network.set_multiplier(strength)
            pipeline.set_adapters(pipeline.get_active_adapters(), strength)
            ours = our_picture(model)
            assert apart(ours, without) > VISIBLE
            assert apart(ours, their_picture(pipeline)) < INVISIBLE
    finally:
        pipeline.unload_lora_weights()


@torch.no_grad()
def test_opposite_strengths_are_opposite_changes_in_the_first_order(micro, slider):
    model = our_model(micro)
    network = our_network(model, slider)
    unet, width = model.denoiser.double(), model.denoiser.config.cross_attention_dim
    network.to(torch.float64)
    generator = torch.Generator().manual_seed(3)
    latents, text = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((2, 4, 8, 8), (2, 77, width))
    )

    def change(strength):
        network.set_multiplier(strength)
        said = unet(latents, torch.tensor([40, 700]), text, return_dict=False)[0]
        network.set_multiplier(0.0)
        return said - unet(latents, torch.tensor([40, 700]), text, return_dict=False)[0]

    def unlikeness(strength):
        plus, minus = change(strength), change(-strength)
        return float((plus + minus).norm() / plus.norm())

    coarse, fine = unlikeness(2e-4), unlikeness(1e-4)
    print(f"\nof the change, {coarse:.4f} and at half the strength {fine:.4f} is not mirrored")
    assert float(change(1e-4).norm()) > 0
    assert fine < 0.1
    # What is left is of the second order: half the strength halves its share.
    assert fine == pytest.approx(coarse / 2, rel=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
def test_two_processes_have_the_gradient_of_one_that_accumulates_two_steps(tmp_path):
    model = base_model(tmp_path)
    alone = train(model, tmp_path / "alone", SLIDER, *PLAIN, "--gradient_accumulation_steps=2")
    folder = tmp_path / "together"
    folder.mkdir()

    def together(index):
        train(model, folder, SLIDER, *PLAIN)
        return index

    assert run_several(together) == [0, 1]
    assert metadata(folder / "mine.safetensors")["ss_steps"] == "4"
    one, two = tensors(alone), tensors(folder / "mine.safetensors")
    moved = 0.0
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-7)
        moved = max(moved, float(tensor.abs().max()) if name.endswith("lora_up.weight") else 0.0)
    assert moved > 1e-5
