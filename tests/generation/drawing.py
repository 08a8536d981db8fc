"""Whole runs of the picture commands on small models."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from tanren.events import Report
from tanren.families import sd, sdxl
from tanren.families.base import LoraTarget, Placement
from tanren.generate import main
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings

USUAL = ("--W=64", "--H=64", "--steps=4", "--scale=4", "--seed=7")
FAMILIES = {"sdxl": sdxl, "sd1": sd}


class Picture(NamedTuple):
    """A file that was drawn."""

    path: Path
    pixels: NDArray[np.int16]
    facts: dict[str, str]


class Studio:
    """Draws with one model; the same words are drawn once."""

    def __init__(self, model: Path, folder: Path, command: str) -> None:
        self.model, self.folder, self.command = model, folder, command
        self._drawn: dict[tuple[str, ...], list[Picture]] = {}

    def draw(self, *words: object, usual: tuple[str, ...] = USUAL) -> list[Picture]:
        """The pictures of a run, by name."""
        line = (*usual, *map(str, words))
        if not any(word.startswith(("--prompt", "--from_file", "--image_path")) for word in line):
            line = (*line, "--prompt=a red circle")
        if line not in self._drawn:
            out = self.folder / f"out {len(self._drawn)}"
            assert main(self.command, [f"--ckpt={self.model}", f"--outdir={out}", *line]) == 0
            self._drawn[line] = read_all(out)
        return self._drawn[line]

    def pixels(self, *words: object) -> NDArray[np.int16]:
        """Of a run that draws one picture."""
        (picture,) = self.draw(*words)
        return picture.pixels

    def changes(self, *words: object) -> int:
        """Largest difference, in levels, from the picture without these words."""
        return int(np.abs(self.pixels(*words) - self.pixels()).max())


def read_all(folder: Path) -> list[Picture]:
    """All pictures of a folder, by name."""
    return [read(path) for path in sorted(folder.iterdir())] if folder.is_dir() else []


def read(path: Path) -> Picture:
    """A picture file with its texts."""
    with Image.open(path) as picture:
        return Picture(path, np.asarray(picture.convert("RGB"), dtype=np.int16), dict(picture.info))


def scene(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> Path:
    """A picture to begin with: a light square on a ground."""
    picture = Image.new("RGB", size, color)
    picture.paste((250, 250, 240), (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
    picture.save(path)
    return path


def half_mask(path: Path, *, right: bool = False) -> Path:
    """A mask: the left half is drawn anew, or the right one."""
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (32, 0, 64, 64) if right else (0, 0, 32, 64))
    mask.save(path)
    return path


def targets_of(model: Path, family: str) -> Iterator[LoraTarget]:
    """Layers of a model file that a LoRA may change."""
    groups = [ModelOptions(pretrained_model_name_or_path=str(model)), AttentionOptions(), DatasetOptions()]
    placement = Placement(torch.device("cpu"), torch.float32, torch.float32)
    loaded = FAMILIES[family].load(Settings("", groups), placement, Report())
    yield from loaded.family.lora_targets(loaded)


def random_lora(path: Path, targets: list[LoraTarget], seed: int = 0, strength: float = 0.3) -> Path:
    """A LoRA of rank 2 on all Linear layers, as networks.lora writes it, that changes pictures a good deal."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for target in targets:
        weight = target.module.get_parameter("weight")
        if weight.dim() != 2:
            continue
        spread = strength * float(weight.std())
        tensors[f"{target.key}.lora_down.weight"] = torch.randn(2, weight.shape[1], generator=generator) * spread
        tensors[f"{target.key}.lora_up.weight"] = torch.randn(weight.shape[0], 2, generator=generator)
        tensors[f"{target.key}.alpha"] = torch.tensor(2.0)
    save_file(tensors, path, metadata={"ss_output_name": path.stem, "ss_training_comment": "drawn by a test"})
    return path


def copy_to(source: Path, target: Path) -> Path:
    """The same file elsewhere."""
    shutil.copyfile(source, target)
    return target
