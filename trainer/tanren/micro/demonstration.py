"""Teach the embedded model a word it does not know, with the real trainer, and show what came of it.

Sixteen drawn pictures of a diamond, called "sks", and pictures of known shapes beside them go into folders as kohya's
trainers read them; `train_network` runs on a config file as anybody's run would; its own sample pictures before and
after, with the same prompts and seeds, are judged by their pixels.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..child_process import child_environment, run_attended
from ..files import durable_write, read_lines, write_text
from ..paths import asset, package_folder, repository_folder
from .charts import Pair, before_after_sheet, loss_plot
from .drawing import Pixels
from .judge import judge
from .lessons import TRIGGER, Lesson, new_words, write_lesson
from .score import is_as_asked
from .world import Words, known_words, prompt, spread

NAME = "demo"
NEW_SHAPE = "diamond"
NEW_COUNT, KNOWN_COUNT = 16, 8
SAMPLE_OPTIONS = "--w 64 --h 64 --s 20 --l 4"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
Setting = str | int | float | bool | list[str]
SETTINGS: dict[str, Setting] = {
    "resolution": "64,64",
    "caption_extension": ".txt",
    "train_batch_size": 16,
    "network_module": "networks.lora",
    "network_dim": 32,
    "network_alpha": 32,
    "optimizer_type": "AdamW",
    "optimizer_args": ["weight_decay=0.0"],
    "learning_rate": 3e-3,
    "unet_lr": 3e-3,
    "text_encoder_lr": 3e-4,
    "lr_scheduler": "cosine",
    "lr_warmup_steps": 20,
    "cache_latents": True,
    "max_data_loader_n_workers": 0,
    "sample_at_first": True,
    "sample_sampler": "ddim",
    "seed": 1,
}


@dataclass(frozen=True)
class Base:
    """An embedded model and how it is taught.

    Attributes:
        title: its name for people.
        model: its file in the package.
        command: the trainer of its family.
        steps: optimizer steps of its training.
        settings: where they differ from `SETTINGS`.
    """

    title: str
    model: str
    command: str
    steps: int
    settings: Mapping[str, Setting]

    @property
    def path(self) -> Path:
        """The file itself."""
        return asset("micro", self.model)


BASES = {
    "sd15": Base("micro-SD", "micro-sd.safetensors", "train_network", 800, {}),
    # Its many layers in a row forget at the rate of the other one; a shape is decided where there is much noise.
    "sdxl": Base(
        "micro-SDXL",
        "micro-sdxl.safetensors",
        "sdxl_train_network",
        600,
        {"learning_rate": 2e-3, "unet_lr": 2e-3, "min_snr_gamma": 1.0},
    ),
}


@dataclass(frozen=True)
class Sample:
    """One prompt of the sheet and what a right picture shows."""

    text: str
    words: Words
    is_new: bool


@dataclass(frozen=True)
class Result:
    """The judged pictures and how long the training took in seconds."""

    pairs: list[Pair]
    new_before: int
    new_after: int
    known_before: int
    known_after: int
    seconds: float


def run(folder: Path, steps: int | None = None, base: Base = BASES["sd15"]) -> int:
    """Draw, train, judge, show.

    Args:
        folder: gets everything; an earlier demo in it is replaced.
        steps: optimizer steps of the training; not given: those of the base.
        base: the model that learns.

    Returns:
        The trainer's exit code.
    """
    steps = steps or base.steps
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / f"{NAME}.toml"
    if config.exists():
        _remove_earlier_run(folder)
    samples = _samples()
    lesson = write_lesson(folder / "pictures", NEW_SHAPE)
    write_text(folder / "prompts.txt", "".join(f"{line}\n" for line in _prompt_lines(samples)))
    write_text(config, _config_text(folder, lesson, steps, base))
    print(f"Teaching {base.title} that “{TRIGGER}” means {NEW_SHAPE}: {steps} steps, settings in {config}")

    started = time.monotonic()
    # Not in the config file: whoever tries other settings with it starts a run that is not this job.
    command = [
        sys.executable,
        "-m",
        "tanren",
        base.command,
        f"--config_file={config}",
        f"--job_dir={folder / 'job'}",
    ]
    # Layers this small cost twice the time on two threads, and many times as much on a busy machine.
    threads = {name: os.environ.get(name, usual) for name, usual in ONE_THREAD.items()}
    environment = child_environment(None, PYTHONPATH=str(package_folder().parent), **threads)
    code = run_attended(command, environment)
    if code:
        print(f"The trainer ended with code {code}; its message stands above.", file=sys.stderr)
        return code
    result = _judged(folder, samples, steps, time.monotonic() - started)
    _save_picture(folder / "before-after.png", before_after_sheet(_title(result), result.pairs))
    _save_picture(folder / "loss.png", loss_plot(_losses(folder), f"Loss over {steps} steps"))
    print(_closing(folder, result, base))
    return 0


def _samples() -> list[Sample]:
    new = [Sample(prompt(words, TRIGGER), words, True) for words in spread(new_words(NEW_SHAPE), NEW_COUNT, 7)]
    possible = [words for words in known_words() if not words.is_held_out]
    return new + [Sample(prompt(words), words, False) for words in spread(possible, KNOWN_COUNT, 8)]


def _prompt_lines(samples: Sequence[Sample]) -> list[str]:
    return [f"{sample.text} {SAMPLE_OPTIONS} --d {1000 + number}" for number, sample in enumerate(samples)]


def _config_text(folder: Path, lesson: Lesson, steps: int, base: Base) -> str:
    """The run as a config file; JSON's strings, numbers and lists are TOML's, too."""
    settings = {
        "pretrained_model_name_or_path": str(base.path),
        "train_data_dir": str(lesson.train_dir),
        "reg_data_dir": str(lesson.regularization_dir),
        "output_dir": str(folder),
        "output_name": NAME,
        **SETTINGS,
        **base.settings,
        "max_train_steps": steps,
        "sample_prompts": str(folder / "prompts.txt"),
        "sample_every_n_steps": steps,
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in settings.items()]
    head = "# What the demo trained with. Every line is a flag of "
    return f"{head}{base.command}; the command line overrides them.\n" + "".join(lines)


def _judged(folder: Path, samples: Sequence[Sample], steps: int, seconds: float) -> Result:
    before = _pictures(folder, "e000000", len(samples))
    after = _pictures(folder, f"{steps:06}", len(samples))
    pairs, counts = [], {(new, late): 0 for new in (True, False) for late in (True, False)}
    for sample, first, last in zip(samples, before, after, strict=True):
        rights = [is_as_asked(judge(_pixels(picture)), sample.words) for picture in (first, last)]
        counts[sample.is_new, False] += rights[0]
        counts[sample.is_new, True] += rights[1]
        thing = f"{sample.words.color} {TRIGGER if sample.is_new else sample.words.shape}"
        pairs.append(Pair(f"{thing}\non {sample.words.background}", first, last, *rights))
    return Result(pairs, counts[True, False], counts[True, True], counts[False, False], counts[False, True], seconds)


def _pictures(folder: Path, when: str, count: int) -> list[Image.Image]:
    """The trainer's sample pictures of one moment, in the order of the prompts."""
    pattern = re.compile(rf"{NAME}_{when}_(\d+)_\d+_\d+\.png")
    found = {}
    for path in (folder / "sample").glob(f"{NAME}_{when}_*.png"):
        match = pattern.fullmatch(path.name)
        if match:
            with Image.open(path) as picture:
                found[int(match[1])] = picture.convert("RGB")
    assert sorted(found) == list(range(count)), f"{len(found)} of {count} sample pictures of {when} were written"
    return [found[number] for number in range(count)]


def _pixels(picture: Image.Image) -> Pixels:
    return np.asarray(picture, dtype=np.uint8)


def _losses(folder: Path) -> list[tuple[int, float]]:
    events = [json.loads(line) for line in read_lines(folder / "job" / "events.jsonl")]
    return [(event["step"], event["loss"]) for event in events if event["kind"] == "step"]


def _save_picture(path: Path, picture: Image.Image) -> None:
    durable_write(path, lambda file: picture.save(file, format="PNG"))


def _remove_earlier_run(folder: Path) -> None:
    for name in ("job", "sample", "pictures"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _title(result: Result) -> str:
    new = f"{result.new_before} of {NEW_COUNT} right before, {result.new_after} after"
    known = f"{result.known_before} of {KNOWN_COUNT} before, {result.known_after} after"
    return f"“{TRIGGER}” = {NEW_SHAPE}: {new}; known shapes: {known}"


def _closing(folder: Path, result: Result, base: Base) -> str:
    program = "python launch.py" if repository_folder() else "tanren"
    config = f'--config_file "{folder / (NAME + ".toml")}"'
    lora = folder / f"{NAME}.safetensors"
    return "\n".join(
        [
            "",
            f"LoRA       {lora} ({lora.stat().st_size // 1024} KiB)",
            f"Pictures   {folder / 'before-after.png'} (same prompts, same seeds)",
            f"Loss       {folder / 'loss.png'}",
            f"Judge      {NEW_SHAPE} for “{TRIGGER}”: {result.new_before} of {NEW_COUNT} before, "
            f"{result.new_after} of {NEW_COUNT} after",
            f"           shapes it knew: {result.known_before} of {KNOWN_COUNT} before, "
            f"{result.known_after} of {KNOWN_COUNT} after",
            f"Time       {result.seconds:.0f} s for training and samples",
            "",
            "Next:",
            f"  {program} plan {base.command} {config}",
            f"  {program} {base.command} {config} --network_dim 4 --output_name smaller",
        ]
    )
