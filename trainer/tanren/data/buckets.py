"""Aspect-ratio buckets: the sizes a batch may have, and how a picture is fitted to one of them.

All sizes are (width, height) in pixels. The rules are sd-scripts', so that pictures fall into the same buckets.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import NamedTuple

Size = tuple[int, int]


class Fit(NamedTuple):
    """How a picture reaches its bucket: resized to `resized_wh`, then cropped to `bucket_wh`."""

    bucket_wh: Size
    resized_wh: Size


class Placement(NamedTuple):
    """How a picture comes to its final size: resized, then cropped from `left_top` on."""

    resized_wh: Size
    left_top: tuple[int, int]


def bucket_list(resolution_wh: Size, minimum: int, maximum: int, step: int) -> list[Size]:
    """All bucket sizes of about the area of `resolution_wh`, none above it, in ascending order.

    Args:
        minimum, maximum: limits of a side; rounded down and up to multiples of `step`.
        step: sides are multiples of this.

    Raises:
        ValueError: the limits do not bracket the resolution.
    """
    low, high = minimum // step * step, -(-maximum // step) * step
    if low > min(resolution_wh) or high < max(resolution_wh):
        raise ValueError(f"{low} to {high} does not bracket {resolution_wh[0]}x{resolution_wh[1]}.")
    area = resolution_wh[0] * resolution_wh[1]
    side = math.isqrt(area) // step * step
    sizes = {(side, side)}
    for width in range(max(low, step), high + 1, step):
        height = min(high, area // width // step * step)
        if height >= max(low, step):
            sizes |= {(width, height), (height, width)}
    return sorted(sizes)


def cover(size_wh: Size, target_wh: Size) -> Size:
    """The size, of the picture's shape, that just covers the target."""
    (width, height), (target_width, target_height) = size_wh, target_wh
    is_wider = width / height > target_width / target_height
    factor = target_height / height if is_wider else target_width / width
    return max(target_width, half_up(width * factor)), max(target_height, half_up(height * factor))


def half_up(value: float) -> int:
    """Round to the nearest integer, halves up."""
    return math.floor(value + 0.5)


class Buckets:
    """A fixed list of sizes; a picture goes to the one nearest to its shape, enlarged or reduced."""

    def __init__(self, sizes: list[Size]) -> None:
        self.sizes = sorted(sizes)
        self._known = set(self.sizes)
        shapes: dict[float, Size] = {}
        for size in self.sizes:
            shapes.setdefault(size[0] / size[1], size)
        self._ratios = sorted(shapes)
        self._by_ratio = [shapes[ratio] for ratio in self._ratios]

    def fit(self, size_wh: Size) -> Fit:
        """The bucket with the nearest width/height; the first in ascending order when two are equally near."""
        if size_wh in self._known:
            return Fit(size_wh, size_wh)
        ratio = size_wh[0] / size_wh[1]
        place = bisect_left(self._ratios, ratio)
        near = range(max(place - 1, 0), min(place + 1, len(self._ratios)))
        best = min(near, key=lambda index: (abs(self._ratios[index] - ratio), self._by_ratio[index]))
        bucket = self._by_ratio[best]
        return Fit(bucket, cover(size_wh, bucket))


class FreeBuckets:
    """Buckets that follow the pictures, which are reduced to the area but never enlarged."""

    def __init__(self, resolution_wh: Size, step: int) -> None:
        self._area = resolution_wh[0] * resolution_wh[1]
        self._step = step

    def fit(self, size_wh: Size) -> Fit:
        """The picture's own size, reduced to the area if larger, cropped to multiples of the step.

        A picture smaller than one step has a bucket side of 0; the caller refuses it.
        """
        resized = size_wh if size_wh[0] * size_wh[1] <= self._area else self._reduced(size_wh)
        return Fit((self._floor(resized[0]), self._floor(resized[1])), resized)

    def _reduced(self, size_wh: Size) -> Size:
        ratio = size_wh[0] / size_wh[1]
        ideal_width = math.sqrt(self._area * ratio)
        # One side is made a multiple of the step exactly: the one whose bucket keeps the shape better.
        width_1 = self._floor(half_up(ideal_width))
        height_1 = self._floor(half_up(width_1 / ratio))
        height_2 = self._floor(half_up(self._area / ideal_width))
        width_2 = self._floor(half_up(height_2 * ratio))
        error_1 = abs(width_1 / height_1 - ratio) if height_1 else math.inf
        error_2 = abs(width_2 / height_2 - ratio) if height_2 else math.inf
        if error_1 < error_2:
            return width_1, half_up(width_1 / ratio)
        return half_up(height_2 * ratio), height_2

    def _floor(self, side: int) -> int:
        return side // self._step * self._step


class OneSize:
    """No buckets: every picture covers one size and is cropped to it."""

    def __init__(self, resolution_wh: Size, *, crops_freely: bool = False) -> None:
        self._size = resolution_wh
        self._crops_freely = crops_freely

    def fit(self, size_wh: Size) -> Fit:
        """Cover and crop; a random crop is taken from the picture as it is when it is large enough."""
        if self._crops_freely and size_wh[0] >= self._size[0] and size_wh[1] >= self._size[1]:
            return Fit(self._size, size_wh)
        return Fit(self._size, cover(size_wh, self._size))


def centre_crop(resized_wh: Size, target_wh: Size) -> Placement:
    """The middle of the resized picture."""
    return Placement(resized_wh, ((resized_wh[0] - target_wh[0]) // 2, (resized_wh[1] - target_wh[1]) // 2))


def crop_top_left_of_record(size_wh: Size, bucket_wh: Size) -> Size:
    """(top, left) as size conditioning records them: of the picture fitted *inside* the bucket, not of the real crop.

    Source: sd-scripts; models trained with these numbers expect them.
    """
    ratio = size_wh[0] / size_wh[1]
    width, height = bucket_wh
    if width / height > ratio:
        resized_width, resized_height = height * ratio, float(height)
    else:
        resized_width, resized_height = float(width), width / ratio
    return math.floor((height - resized_height) / 2), math.floor((width - resized_width) / 2)
