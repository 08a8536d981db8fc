"""Reads a picture back: what is on it, judged from the pixels alone.

The background is the colour most of the border agrees on. What differs from it is the object; its median is its
colour, and its outline is held against the outlines of all shapes, new ones included. Whatever does not fit is
judged as nothing (None), never as the least bad guess.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .drawing import Mask, Pixels, coverage
from .world import BACKGROUNDS, COLORS, NEW_SHAPES, RGB, SHAPES, SMALL_BIG_BOUNDARY

# Distances between colours are sums of absolute differences over the three channels (0 to 765).
SAME_GROUND = 80  # border pixels this near their median agree with it
AGREEING_BORDER = 0.6  # share of the border that has to agree, else there is no background
OBJECT_CONTRAST = 75  # what differs more than this from the background may be the object
FARTHEST_BACKGROUND = 110
FARTHEST_COLOR = 150
SAME_PAINT = 110  # object pixels this near the object's colour agree with it
AGREEING_OBJECT = 0.6
SMALLEST_OBJECT = 0.01  # share of the picture
LEAST_OVERLAP = 0.7  # intersection over union with the best outline

OUTLINE_SIDE = 24  # outlines are compared on a grid of this many cells a side


@dataclass(frozen=True)
class Verdict:
    """What the judge sees; None where it sees nothing that fits.

    Attributes:
        overlap: intersection over union with the outline that fits best, 0 to 1.
        radius: half the longer side of the object, as a share of the picture's shorter side.
        center_xy: of the object's pixels, as shares of width and height.
    """

    background: str | None = None
    color: str | None = None
    shape: str | None = None
    overlap: float = 0.0
    radius: float = 0.0
    center_xy: tuple[float, float] = (0.5, 0.5)

    @property
    def size(self) -> str | None:
        """small or big; None without a shape."""
        if self.shape is None:
            return None
        return "small" if self.radius < SMALL_BIG_BOUNDARY else "big"


def judge(pixels: Pixels) -> Verdict:
    """The verdict on one picture (height, width, 3), at least 16 pixels a side."""
    picture = pixels.astype(np.float32)
    ground = find_ground(picture)
    if ground is None:
        return Verdict()
    background = nearest(ground, BACKGROUNDS, FARTHEST_BACKGROUND)
    found = find_object(picture, ground)
    if found is None:
        return Verdict(background=background)
    mask, paint = found

    color = nearest(paint, {**COLORS, **BACKGROUNDS}, FARTHEST_COLOR)
    shape, overlap = best_outline(mask)
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    return Verdict(
        background=background,
        color=color if color in COLORS else None,
        shape=shape if overlap >= LEAST_OVERLAP else None,
        overlap=overlap,
        radius=float(max(np.ptp(rows) + 1, np.ptp(columns) + 1) / 2 / min(height, width)),
        center_xy=(float((columns.mean() + 0.5) / width), float((rows.mean() + 0.5) / height)),
    )


def steepness(pixels: Pixels) -> float | None:
    """One over the pixels that an edge takes, averaged over all edges: 1 is a hard edge, 0.25 one blurred over four.

    For a ramp of n equal steps, the sum of squared steps over the sum of steps times the whole rise is 1 / n.
    None without an object.
    """
    picture = pixels.astype(np.float32)
    ground = find_ground(picture)
    found = None if ground is None else find_object(picture, ground)
    if ground is None or found is None:
        return None
    rise = float(np.abs(found[1] - ground).sum())
    steps = np.concatenate([np.abs(np.diff(picture, axis=axis)).sum(-1).reshape(-1) for axis in (0, 1)])
    return float((steps**2).sum() / (steps.sum() * rise))


def find_ground(picture: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Median colour (3,) of the two outermost pixel rings, or None when the border has no one colour."""
    rings = (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:])
    border = np.concatenate([ring.reshape(-1, 3) for ring in rings])
    ground = np.median(border, axis=0)
    agreeing = (np.abs(border - ground).sum(-1) < SAME_GROUND).mean()
    return ground if agreeing >= AGREEING_BORDER else None


def find_object(picture: NDArray[np.float32], ground: NDArray[np.float32]) -> tuple[Mask, NDArray[np.float32]] | None:
    """Mask (height, width) and colour (3,) of what stands out from the ground, if it is of one colour."""
    contrast = np.abs(picture - ground).sum(-1)
    standing_out = contrast > OBJECT_CONTRAST
    if standing_out.mean() < SMALLEST_OBJECT:
        return None
    # Soft edges would pull the median towards the ground; the well separated part decides the colour.
    core = contrast > max(OBJECT_CONTRAST, 0.8 * float(np.median(contrast[standing_out])))
    paint = np.median(picture[core], axis=0)
    distance = np.abs(picture - paint).sum(-1)
    mask = without_specks(distance < contrast)
    if mask.mean() < SMALLEST_OBJECT or (distance[mask] < SAME_PAINT).mean() < AGREEING_OBJECT:
        return None
    return mask, paint


def without_specks(mask: Mask) -> Mask:
    """Drops pixels that have fewer than three of their eight neighbours in the mask."""
    padded = np.pad(mask, 1).astype(np.int8)
    height, width = mask.shape
    around = sum(padded[row : row + height, column : column + width] for row in range(3) for column in range(3)) - mask
    return mask & (around >= 3)


def nearest(color: NDArray[np.float32], table: dict[str, RGB], farthest: float) -> str | None:
    """Name of the colour that is least different, or None when all are farther than `farthest`."""
    distances = {name: float(np.abs(color - np.array(rgb)).sum()) for name, rgb in table.items()}
    name = min(distances, key=distances.__getitem__)
    return name if distances[name] <= farthest else None


def best_outline(mask: Mask) -> tuple[str, float]:
    """The shape whose outline overlaps most, and that overlap (intersection over union)."""
    seen = on_outline_grid(mask)
    overlaps = [(float((seen & outline).sum() / (seen | outline).sum()), shape) for shape, outline in known_outlines()]
    overlap, shape = max(overlaps)
    return shape, overlap


@cache
def known_outlines() -> list[tuple[str, Mask]]:
    """Every shape upright and turned a little to both sides, as the world draws them."""
    return [
        (shape, on_outline_grid(coverage(shape, (96, 96), (48, 48), 40, rotation)[..., 0] > 0.5))
        for shape in SHAPES + NEW_SHAPES
        for rotation in (-0.12, 0.0, 0.12)
    ]


def on_outline_grid(mask: Mask) -> Mask:
    """The object in a square just around it, sampled at OUTLINE_SIDE cells a side; proportions are kept."""
    rows, columns = np.nonzero(mask)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    side = max(bottom - top, right - left)
    steps = ((np.arange(OUTLINE_SIDE) + 0.5) / OUTLINE_SIDE - 0.5) * side
    row_at = np.floor((top + bottom) / 2 + steps).astype(int)
    column_at = np.floor((left + right) / 2 + steps).astype(int)
    # Rows and columns outside the picture are not object: clipping would repeat what is at the edge.
    inside_row = (row_at >= 0) & (row_at < mask.shape[0])
    inside_column = (column_at >= 0) & (column_at < mask.shape[1])
    sampled = mask[np.ix_(row_at.clip(0, mask.shape[0] - 1), column_at.clip(0, mask.shape[1] - 1))]
    return sampled & inside_row[:, None] & inside_column[None, :]
