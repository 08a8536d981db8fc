"""The file in the package: what it holds, and that it draws what it is asked for."""

import json

import numpy as np
import pytest
import torch
from tanren.engine.sampling import Picture, draw_picture
from tanren.events import Report
from tanren.families import sd
from tanren.families.base import Model, Placement
from tanren.formats.safetensors_header import read_header
from tanren.micro.drawing import render
from tanren.micro.score import score
from tanren.micro.world import PICTURE_SIZES_WH, Words, draw_scene, known_words, prompt, spread
from tanren.models.micro import micro_sd_path
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings


@pytest.fixture(scope="module")
def model() -> Model:
    options = ModelOptions(pretrained_model_name_or_path=str(micro_sd_path()))
    settings = Settings("train_network", (options, AttentionOptions(), DatasetOptions()))
    return sd.load(settings, Placement(torch.device("cpu"), torch.float32, torch.float32), Report())


def draw(model: Model, words: Words, size_wh: tuple[int, int], seed: int) -> np.ndarray:
    picture = Picture(prompt(words), "", size_wh, seed, steps=20, scale=4.0, sampler="ddim")
    return np.asarray(draw_picture(model, picture).convert("RGB"))


def test_the_file_is_small_and_has_the_names_of_an_sd1_checkpoint():
    path = micro_sd_path()
    header = read_header(path)
    tensors = list(header.tensors)

    assert path.stat().st_size <= 16_000_000
    assert len([name for name in tensors if name.startswith("model.diffusion_model.")]) == 686
    assert len([name for name in tensors if name.startswith("first_stage_model.")]) == 248
    assert len([name for name in tensors if name.startswith("cond_stage_model.transformer.text_model.")]) == 68
    assert {entry.dtype for entry in header.tensors.values()} == {"F16"}
    assert json.loads(header.metadata["tanren.config"])["family"] == "sd1"


def test_scaled_latents_of_the_world_have_unit_variance(model: Model):
    rng = np.random.default_rng(3)
    pictures = np.stack([render(draw_scene(rng), (64, 64), rng) for _ in range(100)])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1

    latents = sd.encode_pixels(model, pixels, torch.zeros(100, 4, 8, 8)).transpose(0, 1).flatten(1)

    assert latents.mean(1).abs().max() < 0.35
    assert latents.std(1) == pytest.approx(torch.ones(4), abs=0.15)


@pytest.mark.parametrize("size_wh", PICTURE_SIZES_WH)
def test_it_draws_what_it_is_asked_for(model: Model, size_wh: tuple[int, int]):
    asked = spread(known_words(), 12 if size_wh == (64, 64) else 6, seed=31)
    shares = score([draw(model, words, size_wh, seed) for seed, words in enumerate(asked, 500)], asked)

    assert shares.color == 1.0
    assert shares.shape is not None and shares.shape >= 2 / 3


def test_small_and_big_are_two_sizes(model: Model):
    asked = [Words(shape, "red", "white", size) for shape in ("circle", "star") for size in ("small", "big")]
    shares = score([draw(model, words, (64, 64), 800) for words in asked], asked)

    assert shares.small_radius is not None and shares.big_radius is not None
    assert shares.big_radius > 1.3 * shares.small_radius
