"""Crops, flips and colours of one draw; each function draws from the generator of that draw alone."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
from PIL import Image

from .buckets import Placement, Size, cover, half_up
from .images import Pixels

COLOR_PROBABILITY = 0.33
# sd-scripts shifts by up to 8 of OpenCV's 180 hue steps; Pillow's circle has 256.
LARGEST_HUE_SHIFT = 8 * 256 / 180
GAMMA_RANGE = (0.95, 1.05)
# A face moves by up to a twentieth of its size, when its exact place is not what is trained.
FACE_JITTER = 20


class Face(NamedTuple):
    """Centre and size of a face in pixels of the whole picture."""

    center_xy: tuple[int, int]
    size_wh: Size


def random_crop(resized_wh: Size, target_wh: Size, rng: random.Random) -> Placement:
    """Any part of the resized picture, each with the same probability."""
    left = rng.randint(0, resized_wh[0] - target_wh[0])
    return Placement(resized_wh, (left, rng.randint(0, resized_wh[1] - target_wh[1])))


def face_in_name(stem: str) -> Face | None:
    """The face that a file name `<stem>_<cx>_<cy>_<w>_<h>` tells; None when it tells none."""
    parts = stem.split("_")[-4:]
    if len(parts) < 4 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    center_x, center_y, width, height = map(int, parts)
    return Face((center_x, center_y), (width, height)) if width and height else None


def face_crop(
    size_wh: Size, target_wh: Size, face: Face, face_range: tuple[float, float], *, moves: bool, rng: random.Random
) -> Placement:
    """A crop around a face, in which the target's shorter side is between `face_range` times the face.

    Args:
        size_wh: the picture.
        target_wh: size of the crop.
        face_range: (low, high).
        moves: the crop may lie anywhere around the face, as with --random_crop.
        rng: of this draw.
    """
    face_side, short_side = max(face.size_wh), min(target_wh)
    fitting = cover(size_wh, target_wh)
    fit = max(fitting[0] / size_wh[0], fitting[1] / size_wh[1])
    low, high = face_range
    smallest = max(fit, min(1.0, short_side / (face_side * high)))
    largest = max(smallest, min(1.0, short_side / (face_side * low)))
    scale = rng.uniform(smallest, largest) if largest > smallest else smallest
    resized = tuple(max(target, half_up(side * scale)) for side, target in zip(size_wh, target_wh, strict=True))
    jitter = face_side * scale / FACE_JITTER if low != high else 0.0
    corner = []
    for side, target, center in zip(resized, target_wh, face.center_xy, strict=True):
        place = center * scale - target / 2
        if moves:
            # Two draws make places near the face likelier than far ones.
            reach = max(side - center * scale, center * scale)
            place += rng.uniform(-reach / 2, reach / 2) + rng.uniform(-reach / 2, reach / 2)
        elif jitter:
            place += rng.uniform(-jitter, jitter)
        corner.append(min(max(half_up(place), 0), side - target))
    return Placement((resized[0], resized[1]), (corner[0], corner[1]))


def vary_color(pixels: Pixels, rng: random.Random) -> Pixels:
    """In a third of the draws: half of them shift the hue by up to 16 degrees, half apply a gamma of 0.95 to 1.05.

    Args:
        pixels: (H, W, 3).
    """
    if rng.random() >= COLOR_PROBABILITY:
        return pixels
    if rng.random() < 0.5:
        return shift_hue(pixels, round(rng.uniform(-LARGEST_HUE_SHIFT, LARGEST_HUE_SHIFT)))
    return apply_gamma(pixels, rng.uniform(*GAMMA_RANGE))


def shift_hue(pixels: Pixels, steps: int) -> Pixels:
    """Turn the hue by `steps` of 256."""
    hsv = np.array(Image.fromarray(pixels).convert("HSV"))
    hsv[:, :, 0] += np.uint8(steps % 256)
    return np.array(Image.fromarray(hsv, "HSV").convert("RGB"))


def apply_gamma(pixels: Pixels, exponent: float) -> Pixels:
    """Values 0..255 to the power of `exponent`, clipped."""
    table = (np.arange(256, dtype=np.float64) ** exponent).clip(0, 255).astype(np.uint8)
    return table[pixels]
