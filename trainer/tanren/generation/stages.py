"""The first of two stages (highres fix) as a picture of its own. Without torch."""

from __future__ import annotations

import math
from dataclasses import replace

from ..options.generating_inputs import HighresOptions
from .request import Request

# Its sides are cut to these, as in sd-scripts.
STEP, SMALLEST = 32, 64


def first_stage_size(size_wh: tuple[int, int], scale: float) -> tuple[int, int]:
    """Width and height of the first of two stages: a part of the second's, cut to multiples of 32, at least 64."""
    width, height = (_part(side, scale) for side in size_wh)
    return max(SMALLEST, width - width % STEP), max(SMALLEST, height - height % STEP)


def first_stage(request: Request, options: HighresOptions) -> Request:
    """The first of two stages as a picture of its own; SDXL is told sizes and crops of its scale.

    Args:
        request: of the whole picture.
        options: with a scale.
    """
    scale = options.highres_fix_scale
    assert scale is not None
    small = first_stage_size(request.size_wh, scale)

    def told(sides: tuple[int, int]) -> tuple[int, int]:
        return small if sides == request.size_wh else (_part(sides[0], scale), _part(sides[1], scale))

    strength = options.highres_fix_strength
    return replace(
        request,
        size_wh=small,
        original_wh=told(request.original_wh),
        negative_original_wh=told(request.negative_original_wh),
        crop_top_left=(_part(request.crop_top_left[0], scale), _part(request.crop_top_left[1], scale)),
        steps=options.highres_fix_steps,
        strength=request.strength if strength is None else strength,
    )


def _part(side: int, scale: float) -> int:
    return math.floor(side * scale + 0.5)
