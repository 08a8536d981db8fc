"""The SDXL file in the package: what it holds, that it draws what it is asked for, and that it heeds the sizes."""

import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from tanren.engine.sampling import Picture, draw_picture
from tanren.events import Report
from tanren.families import sdxl
from tanren.families.base import Model, Placement
from tanren.formats.safetensors_header import read_header
from tanren.micro import export
from tanren.micro.drawing import Pixels, render
from tanren.micro.judge import judge
from tanren.micro.score import score
from tanren.micro.world import PICTURE_SIZES_WH, Words, draw_scene, known_words, prompt, spread
from tanren.models.micro import micro_sdxl_path
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings


@pytest.fixture(scope="module")
def model() -> Model:
    options = ModelOptions(pretrained_model_name_or_path=str(micro_sdxl_path()))
    settings = Settings("sdxl_train_network", (options, AttentionOptions(), DatasetOptions()))
    return sdxl.load(settings, Placement(torch.device("cpu"), torch.float32, torch.float32), Report())


def draw(model: Model, words: Words, size_wh: tuple[int, int], seed: int) -> Pixels:
    picture = Picture(prompt(words), "", size_wh, seed, steps=20, scale=4.0, sampler="ddim")
    return np.asarray(draw_picture(model, picture).convert("RGB"))


def test_the_file_is_small_and_has_the_names_of_an_sdxl_checkpoint():
    path = micro_sdxl_path()
    header = read_header(path)
    tensors = list(header.tensors)

    assert path.stat().st_size <= 24_000_000
    assert len([name for name in tensors if name.startswith("model.diffusion_model.")]) == 1680
    assert len([name for name in tensors if name.startswith("first_stage_model.")]) == 248
    assert len([name for name in tensors if name.startswith("conditioner.embedders.0.transformer.text_model.")]) == 68
    assert "conditioner.embedders.1.model.text_projection" in tensors
    assert {entry.dtype for entry in header.tensors.values()} == {"F16"}
    assert json.loads(header.metadata["tanren.config"])["family"] == "sdxl"


def test_a_lora_finds_every_layer_that_it_finds_in_the_real_u_net(model: Model):
    names = [target.key for target in sdxl.lora_targets(model) if isinstance(target.module, torch.nn.Linear)]

    assert len([name for name in names if name.startswith("lora_unet_") and "_transformer_blocks_" in name]) == 700
    assert {name.split("_")[1] for name in names} == {"te1", "te2", "unet"}


def test_scaled_latents_of_the_world_have_unit_variance(model: Model):
    rng = np.random.default_rng(3)
    pictures = np.stack([render(draw_scene(rng), (64, 64), rng) for _ in range(100)])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1

    latents = sdxl.encode_pixels(model, pixels, torch.zeros(100, 4, 8, 8)).transpose(0, 1).flatten(1)

    assert latents.mean(1).abs().max() < 0.35
    assert latents.std(1) == pytest.approx(torch.ones(4), abs=0.15)


@pytest.mark.parametrize("size_wh", PICTURE_SIZES_WH)
def test_it_draws_what_it_is_asked_for(model: Model, size_wh: tuple[int, int]):
    asked = spread(known_words(), 8 if size_wh == (64, 64) else 4, seed=31)
    shares = score([draw(model, words, size_wh, seed) for seed, words in enumerate(asked, 500)], asked)

    assert shares.color == 1.0
    assert shares.shape is not None and shares.shape >= 2 / 3


def denoising_loss(model: Model, told: torch.Tensor, timestep: int) -> float:
    """Of noise in pictures whose upper left corner is cut off, when the model is told these sizes."""
    rng = np.random.default_rng(9)
    scenes = [draw_scene(rng) for _ in range(64)]
    windows = [render(scene, (96, 96), rng, radius_of=64)[24:88, 24:88] for scene in scenes]
    pixels = torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = sdxl.encode_pixels(model, pixels, torch.zeros(64, 4, 8, 8))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(5))
    timesteps = torch.full((64,), timestep)
    noisy_latents = model.schedule.add_noise(latents, noise, timesteps)
    with torch.no_grad():
        text = sdxl.encode_text(model, [prompt(scene.words) for scene in scenes])
        prediction = sdxl.predict(model, noisy_latents, timesteps, text, told.expand(64, 6))
    return float((prediction - noise).square().mean())


def test_it_heeds_the_crop_that_it_is_told(model: Model):
    """Told the truth, it knows better where a shape can be than when it expects a whole picture."""
    cropped, whole = torch.tensor([[256, 256, 24, 24, 64, 64], [256, 256, 0, 0, 64, 64]])

    right, wrong = denoising_loss(model, cropped, 600), denoising_loss(model, whole, 600)

    print(f"\nloss when told the crop: {right:.4f}, when told of a whole picture: {wrong:.4f}")
    assert right < 0.85 * wrong


def test_diffusers_draws_with_the_exported_folder(tmp_path):
    assert export.main(["sdxl", "--diffusers", str(tmp_path / "folder")]) == 0
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path / "folder", local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    words = Words("square", "blue", "white")
    drawn = pipeline(
        prompt(words),
        width=64,
        height=64,
        num_inference_steps=20,
        guidance_scale=4.0,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    verdict = judge(np.asarray(drawn))

    assert (verdict.color, verdict.background) == ("blue", "white")
