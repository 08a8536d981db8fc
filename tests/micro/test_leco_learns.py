"""What LECO does to the embedded models: a word is erased, strengthened or made a slider; pictures are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from micro_pictures import drawn, loaded
from tanren.entry import main
from tanren.micro import demonstration
from tanren.micro.drawing import Mask, Pixels
from tanren.micro.judge import find_ground, find_object, judge
from tanren.micro.score import score
from tanren.micro.world import BACKGROUNDS, COLORS, SHAPES, Words, prompt

COMMANDS = {"sd15": "train_leco", "sdxl": "sdxl_train_leco"}
USUAL = (
    *("--network_dim=4", "--network_alpha=4", "--optimizer_type=AdamW"),
    *("--optimizer_args", "weight_decay=0.0", "--lr_scheduler=cosine", "--lr_warmup_steps=10", "--seed=1"),
)
HEAD = "resolution = 64\nbatch_size = 4\n"
STRENGTHS = (-2, -1, 0, 1, 2)
ERASE_CIRCLE = f'{HEAD}[[prompts]]\ntarget = "circle"\n'
STRENGTHEN_CIRCLE = f'{HEAD}[[prompts]]\ntarget = "shape"\npositive = "circle"\nneutral = "shape"\naction = "enhance"\n'
# A pair whose two sides are equal asks for what the base says: these words shall stay.
KEEP_OTHERS = "".join(
    f'[[prompts]]\ntarget = "{shape}"\nunconditional = "{shape}"\n' for shape in SHAPES if shape != "circle"
)


@dataclass(frozen=True)
class Lesson:
    """A prompt file and the flags that it is learned with."""

    prompts: str
    steps: int
    learning_rate: float
    denoising_steps: int = 20


ERASING = {
    "sd15": Lesson(f"guidance_scale = 1.5\n{ERASE_CIRCLE}", 240, 6e-3),
    "sdxl": Lesson(
        f"guidance_scale = 1.5\n{ERASE_CIRCLE}" + '[[prompts]]\ntarget = "circle"\n' * 2 + KEEP_OTHERS, 300, 2.5e-3, 10
    ),
}
STRENGTHENING = {"sd15": Lesson(STRENGTHEN_CIRCLE, 120, 4e-3), "sdxl": Lesson(STRENGTHEN_CIRCLE, 120, 2e-3, 10)}
SLIDING_RATES = {"sd15": (2e-3, 20), "sdxl": (1e-3, 10)}


@pytest.fixture
def learned(tmp_path, monkeypatch):
    """Trains a prompt file on an embedded model; returns the network's file."""
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))

    def train(name: str, lesson: Lesson) -> Path:
        file = tmp_path / "prompts.toml"
        file.write_text(lesson.prompts, "utf-8")
        words = [
            f"--pretrained_model_name_or_path={demonstration.BASES[name].path}",
            *(f"--output_dir={tmp_path}", "--output_name=leco", f"--prompts_file={file}"),
            *(f"--max_train_steps={lesson.steps}", f"--learning_rate={lesson.learning_rate}"),
            f"--max_denoising_steps={lesson.denoising_steps}",
        ]
        threads, started = torch.get_num_threads(), time.process_time()
        torch.set_num_threads(1)
        assert main(COMMANDS[name], [*words, *USUAL]) == 0
        torch.set_num_threads(threads)
        print(f"\n{name}: {lesson.steps} steps in {time.process_time() - started:.0f} CPU seconds")
        return tmp_path / "leco.safetensors"

    return train


def combinations(shapes: Sequence[str], colors: Sequence[str], count: int) -> list[Words]:
    every = [Words(shape, color, background) for background in BACKGROUNDS for color in colors for shape in shapes]
    return [every[place * len(every) // count] for place in range(count)]


def pictures(name: str, lora: Path | None, asked: Sequence[Words], seed: int, strength: float = 1.0) -> list[Pixels]:
    return drawn(loaded(name, lora, strength), [prompt(words) for words in asked], seed)


def share_of_circles(name: str, lora: Path | None, asked: Sequence[Words], seed: int) -> float:
    return float(np.mean([judge(picture).shape == "circle" for picture in pictures(name, lora, asked, seed)]))


def shape_pixels(picture: Pixels) -> Mask | None:
    """Where the shape is, (height, width); None where the judge sees no object of one colour."""
    colors = picture.astype(np.float32)
    ground = find_ground(colors)
    found = None if ground is None else find_object(colors, ground)
    return None if found is None else found[0]


def redness(picture: Pixels) -> float:
    """Red minus blue in the mean of the shape's pixels, -255 to 255; NaN without a shape."""
    mask = shape_pixels(picture)
    if mask is None:
        return np.nan
    red, _, blue = picture[mask].astype(np.float64).mean(0)
    return float(red - blue)


def side(picture: Pixels) -> float:
    """Side of a square with as many pixels as the shape has, as a share of the picture's; NaN without a shape."""
    mask = shape_pixels(picture)
    return np.nan if mask is None else float(mask.mean() ** 0.5)


@dataclass(frozen=True)
class Slider:
    """A slider to learn, pictures that it shall change, and what is measured on them."""

    prompts: str
    asked: list[Words]
    measure: Callable[[Pixels], float]


SLIDERS = {
    "blue to red": Slider(
        f'{HEAD}multiplier = 2.0\n[[targets]]\ntarget_class = "purple shape"\nneutral = "purple shape"\n'
        'positive = "red shape"\nnegative = "blue shape"\n',
        combinations(SHAPES, ["purple"], 24) * 2,
        redness,
    ),
    "small to big": Slider(
        f'{HEAD}guidance_scale = 2.0\n[[targets]]\ntarget_class = "shape"\n'
        'positive = "big shape"\nnegative = "small shape"\n',
        combinations(SHAPES, list(COLORS), 48),
        side,
    ),
}


def test_a_little_training_weakens_a_shape(learned):
    """A small real case: the direction is right long before the shape is gone."""
    lora = learned("sd15", Lesson(ERASE_CIRCLE, 40, 8e-3, 8))
    asked = combinations(["circle"], list(COLORS), 16)

    before, after = (share_of_circles("sd15", file, asked, 5) for file in (None, lora))

    print(f"\ncircles before {before:.2f}, after {after:.2f}")
    assert before >= 0.8
    assert after <= before - 0.25


@pytest.mark.proof
@pytest.mark.parametrize("name", COMMANDS)
def test_an_erased_shape_is_gone_and_the_others_stay(learned, name):
    lora = learned(name, ERASING[name])
    circles = combinations(["circle"], list(COLORS), 104)
    others = combinations([shape for shape in SHAPES if shape != "circle"], list(COLORS), 120)

    before, after = (share_of_circles(name, file, circles, 50) for file in (None, lora))
    kept_before, kept_after = (score(pictures(name, file, others, 51), others).complete for file in (None, lora))

    print(f"\n{name}: circles: {before:.3f}, then {after:.3f}; others right: {kept_before:.3f}, then {kept_after:.3f}")
    assert before >= 0.8
    assert after <= 0.15
    assert kept_after >= kept_before - 0.10


@pytest.mark.proof
@pytest.mark.parametrize("name", COMMANDS)
def test_a_strengthened_shape_appears_where_any_shape_was_asked_for(learned, name):
    lora = learned(name, STRENGTHENING[name])
    asked = [Words("shape", color, background) for background in BACKGROUNDS for color in COLORS] * 4

    before, after = (share_of_circles(name, file, asked, 52) for file in (None, lora))

    print(f"\n{name}: circles among shapes: {before:.3f}, then {after:.3f}")
    assert before <= 0.35
    assert after >= 0.80


@pytest.mark.proof
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("slider", SLIDERS.values(), ids=list(SLIDERS))
def test_a_slider_moves_one_way_over_all_its_strengths(learned, name, slider):
    """One prompt and one seed a column; equal values, and pictures without a shape, count as not risen."""
    lora = learned(name, Lesson(slider.prompts, 150, *SLIDING_RATES[name]))

    sheets = [pictures(name, lora, slider.asked, 53, strength) for strength in STRENGTHS]
    measured = np.array([[slider.measure(picture) for picture in sheet] for sheet in sheets])

    rising = (np.diff(measured, axis=0) > 0).all(axis=0)
    means = np.nanmean(measured, axis=1).round(3)
    print(f"\n{name}: means {means} at {STRENGTHS}; risen at each step: {rising.mean():.3f}")
    assert len(rising) == 48
    assert rising.mean() >= 0.80
