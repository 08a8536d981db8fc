"""Pictures of the small world with their outlines, which steer a ControlNet-LLLite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tanren.micro.drawing import Mask, Pixels, coverage
from tanren.micro.world import BACKGROUNDS, COLORS, Words, prompt

SIDE = 64
# Sum over the channels by which a pixel differs from the background when it belongs to the shape.
CONTRAST = 110


@dataclass(frozen=True)
class Outlined:
    """One shape at one place.

    Args:
        words: what it is; pictures of it are asked for with "shape" in place of its name.
        cover: (H, W), how much of each pixel it covers.
    """

    words: Words
    cover: np.ndarray

    @property
    def mask(self) -> Mask:
        """Where it is."""
        return self.cover > 0.5

    @property
    def outline(self) -> Pixels:
        """White lines on black, four pixels wide: where not all pixels around are the same."""
        around = np.lib.stride_tricks.sliding_window_view(np.pad(self.mask, 2, mode="edge"), (5, 5))
        edge = around.any(axis=(2, 3)) & ~around.all(axis=(2, 3))
        return np.repeat(edge[:, :, None], 3, axis=2).astype(np.uint8) * 255

    @property
    def picture(self) -> Pixels:
        """It in its colour on its background."""
        ground, paint = np.array(BACKGROUNDS[self.words.background]), np.array(COLORS[self.words.color])
        cover = self.cover[..., None]
        return (ground * (1 - cover) + paint * cover).round().astype(np.uint8)

    @property
    def asked(self) -> str:
        """The prompt, in which only the control picture tells which shape and where."""
        return prompt(self.words, "shape")


def outlined(rng: np.random.Generator, shape: str) -> Outlined:
    """A shape at a random place, in random colours."""
    words = Words(shape, str(rng.choice(list(COLORS))), str(rng.choice(list(BACKGROUNDS))))
    radius = rng.uniform(0.25, 0.45) * SIDE
    center = tuple(SIDE / 2 + rng.uniform(-1, 1) * (SIDE / 2 - radius - 1) for _ in range(2))
    return Outlined(words, coverage(shape, (SIDE, SIDE), (center[0], center[1]), radius, rng.normal(0, 0.06))[..., 0])


def write_pairs(folder: Path, shapes: Sequence[str], count: int, seed: int) -> None:
    """Pictures with captions in `pictures`, their outlines in `controls`; most captions leave the shape open."""
    rng = np.random.default_rng(seed)
    for name in ("pictures", "controls"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        made = outlined(rng, shapes[number % len(shapes)])
        Image.fromarray(made.picture).save(folder / "pictures" / f"{number}.png")
        Image.fromarray(made.outline).save(folder / "controls" / f"{number}.png")
        caption = prompt(made.words, "shape" if rng.random() < 0.6 else None)
        (folder / "pictures" / f"{number}.txt").write_text(caption, "utf-8")


def overlap(picture: Pixels, made: Outlined, mirrored: bool = False) -> float:
    """Intersection over union of what is drawn on the background with the shape of the control."""
    ground = np.array(BACKGROUNDS[made.words.background])
    drawn = np.abs(picture.astype(float) - ground).sum(-1) > CONTRAST
    wanted = made.mask[:, ::-1] if mirrored else made.mask
    return float((drawn & wanted).sum() / max(1, (drawn | wanted).sum()))
