"""Cut-outs: how much of each pixel belongs to what a picture shows, by a segmentation model.

Kinds, as rembg and others use the published files: the picture is squeezed into the model's square (not padded), scaled
so that its brightest value is 1, and normalised; the output is stretched to 0..1 and back to the picture's size.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..data.images import Pixels
from .picture_input import HALVES, IMAGENET_MEAN, IMAGENET_STD, ONES, Kind, Kinds, PictureModel, as_pixels, stretched

SEGMENTATION = Kinds(
    by_name={
        "u2net": Kind(320, IMAGENET_MEAN, IMAGENET_STD),
        "isnet": Kind(1024, HALVES, ONES),
        "isnet-anime": Kind(1024, IMAGENET_MEAN, ONES),
        "birefnet": Kind(1024, IMAGENET_MEAN, IMAGENET_STD, sigmoid=True),
    },
    marks={
        "isnet-anime": "isnet-anime",
        "isnet_anime": "isnet-anime",
        "isnetis": "isnet-anime",
        "isnet": "isnet",
        "rmbg": "isnet",
        "birefnet": "birefnet",
        "u2net": "u2net",
        "silueta": "u2net",
    },
    usual="u2net",
)
RESULTS = ("alpha", "flat", "mask")


def mask_of(pixels: Pixels, model: PictureModel) -> Pixels:
    """How much of each pixel is kept, (H, W), 255 is all of it.

    Args:
        pixels: (H, W, 3).

    Raises:
        ModelFileError: the output is no mask.
    """
    height, width = pixels.shape[:2]
    small = Image.fromarray(pixels).resize(model.size_wh, Image.Resampling.LANCZOS)
    values = np.asarray(small, np.float32)
    values = values / max(float(values.max()), 1e-6)
    plane = as_pixels(stretched(model.plane(model.normalised(values), "mask")))
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS))


def cut_out(pixels: Pixels, mask: Pixels, result: str, background: tuple[int, int, int]) -> Image.Image:
    """What is made of a picture and its mask.

    Args:
        pixels: (H, W, 3).
        mask: (H, W).
        result: "alpha": the picture with the mask as its transparency; "flat": on a plain background; "mask": the mask.
        background: RGB of "flat".
    """
    assert result in RESULTS, result
    shown = Image.fromarray(mask)
    if result == "mask":
        return shown
    picture = Image.fromarray(pixels)
    if result == "alpha":
        picture.putalpha(shown)
        return picture
    return Image.composite(picture, Image.new("RGB", picture.size, background), shown)
