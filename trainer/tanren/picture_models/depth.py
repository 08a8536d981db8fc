"""Depth pictures for conditioning, by a model of the MiDaS or Depth Anything kind: near is bright.

Both give inverse depth, which is stretched to the whole range of a grey picture. MiDaS' small model takes 256 pixels,
its larger ones 384, Depth Anything 518 (multiples of 14). Sources: the repositories of both.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..data.images import Pixels
from .picture_input import HALVES, IMAGENET_MEAN, IMAGENET_STD, Kind, Kinds, PictureModel, as_pixels, stretched

DEPTH = Kinds(
    by_name={
        "midas-small": Kind(256, IMAGENET_MEAN, IMAGENET_STD),
        "midas": Kind(384, IMAGENET_MEAN, IMAGENET_STD),
        "dpt": Kind(384, HALVES, HALVES),
        "depth-anything": Kind(518, IMAGENET_MEAN, IMAGENET_STD),
    },
    marks={
        "anything": "depth-anything",
        "dpt": "dpt",
        "small": "midas-small",
        "midas": "midas",
    },
    usual="depth-anything",
)


def depth_of(pixels: Pixels, model: PictureModel, *, far_is_bright: bool = False) -> Image.Image:
    """Grey picture of a picture (H, W, 3), in its size.

    Raises:
        ModelFileError: the output is no depth.
    """
    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).resize(model.size_wh, Image.Resampling.BICUBIC)
    values = stretched(model.plane(model.normalised(np.asarray(small, np.float32) / np.float32(255)), "depth"))
    if far_is_bright:
        values = 1 - values
    # Stretched back in floating point: in 8 bits slopes would become stairs.
    whole = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
    return Image.fromarray(as_pixels(np.asarray(whole)))
