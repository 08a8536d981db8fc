"""What LECO does to the embedded model: a word is erased, strengthened or made a slider; pictures are judged."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tanren.entry import main
from tanren.events import Report
from tanren.families import sd
from tanren.families.base import Model, Placement
from tanren.micro.drawing import Pixels
from tanren.micro.judge import judge
from tanren.micro.score import score
from tanren.micro.world import BACKGROUNDS, COLORS, SHAPES, Words, prompt
from tanren.models.micro import micro_sd_path
from tanren.networks import lora_weights
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings

TOOLS = Path(__file__).parents[2] / "tools" / "micro_model"
CPU = Placement(torch.device("cpu"), torch.float32, torch.float32)
USUAL = (
    *("--max_denoising_steps=20", "--network_dim=4", "--network_alpha=4", "--optimizer_type=AdamW"),
    *("--optimizer_args", "weight_decay=0.0", "--lr_scheduler=cosine", "--lr_warmup_steps=10", "--seed=1"),
)
ERASE_CIRCLE = '[[prompts]]\ntarget = "circle"\nresolution = 64\nbatch_size = 4\n'


@pytest.fixture
def learned(tmp_path, monkeypatch):
    """Trains a prompt file on micro-SD; returns the network's file."""
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))

    def train(prompts: str, *words: str) -> Path:
        file = tmp_path / "prompts.toml"
        file.write_text(prompts, "utf-8")
        common = [
            f"--pretrained_model_name_or_path={micro_sd_path()}",
            f"--output_dir={tmp_path}",
            "--output_name=leco",
        ]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        assert main("train_leco", [*common, f"--prompts_file={file}", *USUAL, *words]) == 0
        torch.set_num_threads(threads)
        return tmp_path / "leco.safetensors"

    return train


def loaded(lora: Path | None = None, strength: float = 1.0) -> Model:
    options = ModelOptions(pretrained_model_name_or_path=str(micro_sd_path()))
    model = sd.load(Settings("train_leco", (options, AttentionOptions(), DatasetOptions())), CPU, Report())
    if lora is not None and strength:
        assert lora_weights.merge(model.family.lora_targets(model), load_file(lora), strength, str(lora)) > 0
    return model


def drawn(model: Model, asked: Sequence[Words], seed: int) -> list[Pixels]:
    sys.path.insert(0, str(TOOLS))
    try:
        from sampling import MicroModel, generate
    finally:
        sys.path.remove(str(TOOLS))
    micro = MicroModel(model.tokenizers[0], model.text_encoders[0], model.denoiser, model.vae)
    return generate(micro, [prompt(words) for words in asked], seed=seed)


def combinations(shapes: Sequence[str], colors: Sequence[str], count: int) -> list[Words]:
    every = [Words(shape, color, background) for background in BACKGROUNDS for color in colors for shape in shapes]
    return [every[place * len(every) // count] for place in range(count)]


def share_of_shape(model: Model, shape: str, asked: Sequence[Words], seed: int) -> float:
    return float(np.mean([judge(picture).shape == shape for picture in drawn(model, asked, seed)]))


def test_a_little_training_weakens_a_shape(learned):
    """A small real case: the direction is right long before the shape is gone."""
    lora = learned(ERASE_CIRCLE, "--max_train_steps=40", "--learning_rate=8e-3", "--max_denoising_steps=8")
    asked = combinations(["circle"], list(COLORS), 16)

    before, after = (share_of_shape(model, "circle", asked, 5) for model in (loaded(), loaded(lora)))

    print(f"\ncircles before {before:.2f}, after {after:.2f}")
    assert before >= 0.8
    assert after <= before - 0.25


@pytest.mark.proof
def test_an_erased_shape_is_gone_and_the_others_stay(learned):
    lora = learned(f"guidance_scale = 1.5\n{ERASE_CIRCLE}", "--max_train_steps=240", "--learning_rate=6e-3")
    circles = combinations(["circle"], list(COLORS), 104)
    others = combinations([shape for shape in SHAPES if shape != "circle"], list(COLORS), 120)
    base, erased = loaded(), loaded(lora)

    before, after = (share_of_shape(model, "circle", circles, 50) for model in (base, erased))
    kept_before, kept_after = (score(drawn(model, others, 51), others).complete for model in (base, erased))

    print(f"\ncircles: {before:.3f} before, {after:.3f} after; others right: {kept_before:.3f}, {kept_after:.3f}")
    assert before >= 0.8
    assert after <= 0.15
    assert kept_after >= kept_before - 0.10


@pytest.mark.proof
def test_a_strengthened_shape_appears_where_any_shape_was_asked_for(learned):
    prompts = '[[prompts]]\ntarget = "shape"\npositive = "circle"\nneutral = "shape"\naction = "enhance"\n'
    lora = learned(f"{prompts}resolution = 64\nbatch_size = 4\n", "--max_train_steps=120", "--learning_rate=4e-3")
    asked = [Words("shape", color, background) for background in BACKGROUNDS for color in COLORS] * 4

    before, after = (share_of_shape(model, "circle", asked, 52) for model in (loaded(), loaded(lora)))

    print(f"\ncircles among shapes: {before:.3f} before, {after:.3f} after")
    assert before <= 0.35
    assert after >= 0.80
