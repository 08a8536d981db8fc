"""Whole runs of `train_network` on a tiny model and a folder of ordinary pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from tanren.entry import main
from tiny_models import tiny_sd

TRAINER = Path(__file__).parents[2] / "trainer"
SIZES = [(96, 96), (120, 80), (80, 120), (150, 75), (64, 64), (90, 100)]
# What differs between two runs of one seed: the times, and the hash that covers them.
OF_THE_MOMENT = (
    "ss_session_id",
    "ss_training_started_at",
    "ss_training_finished_at",
    "sshs_legacy_hash",
    "modelspec.date",
)


def ordinary_pictures(folder: Path, count: int = 6) -> Path:
    """PNG, JPEG (one lying on its side), WebP, of mixed sizes, with captions."""
    folder.mkdir(parents=True)
    for index in range(count):
        width, height = SIZES[index % len(SIZES)]
        y, x = np.mgrid[0:height, 0:width]
        waves = [127 + 127 * np.sin((x * (1 + k) + y * (3 - k)) / (6 + index) + k) for k in range(3)]
        picture = Image.fromarray(np.stack(waves, -1).astype(np.uint8))
        stem = folder / f"picture {index}"
        if index % 3 == 0:
            picture.save(stem.with_suffix(".png"))
        elif index % 3 == 1:
            exif = picture.getexif()
            exif[0x0112] = 6
            picture.save(stem.with_suffix(".jpg"), exif=exif, quality=90)
        else:
            picture.save(stem.with_suffix(".webp"))
        stem.with_suffix(".txt").write_text(f"sks, waves, number {index}, colourful", "utf-8")
    return folder


def data_folder(folder: Path, repeats: int = 2) -> Path:
    """A `--train_data_dir`."""
    ordinary_pictures(folder / f"{repeats}_sks waves")
    return folder


def base_model(folder: Path, family: str = "sd1") -> Path:
    """A tiny checkpoint in the ldm layout."""
    return tiny_sd(folder / f"tiny-{family}.safetensors", family)


def arguments(model: Path, data: Path, out: Path, **changes: object) -> list[str]:
    """A usual command line; `None` drops an option, True makes it a flag."""
    options: dict[str, object] = {
        "pretrained_model_name_or_path": model,
        "train_data_dir": data,
        "output_dir": out,
        "output_name": "waves",
        "resolution": "64,64",
        "enable_bucket": True,
        "min_bucket_reso": 64,
        "max_bucket_reso": 128,
        "caption_extension": ".txt",
        "network_module": "networks.lora",
        "network_dim": 4,
        "learning_rate": "1e-3",
        "max_train_epochs": 1,
        "train_batch_size": 2,
        "shuffle_caption": True,
        "flip_aug": True,
        "seed": 42,
        "console_log_simple": True,
        **changes,
    }
    words = []
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif isinstance(value, (list, tuple)):
            words += [f"--{name}", *map(str, value)]
        elif value is not None and value is not False:
            words.append(f"--{name}={value}")
    return words


def train(*words: object, **options: object) -> None:
    """Train in this process; fails unless the exit code is 0."""
    assert main("train_network", arguments(*words, **options)) == 0


def start(words: list[str], command: str = "train_network", **environment: str) -> subprocess.Popen[str]:
    """Train in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(TRAINER / f"{command}.py"), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def lasting(path: Path) -> dict[str, str]:
    """Metadata that the same seed gives again."""
    return {name: value for name, value in metadata(path).items() if name not in OF_THE_MOMENT}


def same_tensors(one: Path, other: Path) -> bool:
    """Bit by bit."""
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
