"""Pictures to latents and back, for drawing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.images import load_image
from ..errors import DataError, NumericError
from ..families.base import Model


def load_picture(path: Path) -> Image.Image:
    """A picture in RGB, upright, transparent parts white.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return Image.fromarray(load_image(str(path)).pixels)
    except OSError as error:
        raise DataError(where=str(path), what=f"The picture cannot be read: {error.strerror or error}.") from error


def load_mask(path: Path, size_wh: tuple[int, int]) -> Tensor:
    """A mask (1, H, W) in 0..1 at a size in pixels: 1 where it is white."""
    return torch.from_numpy(np.array(resized(load_picture(path), size_wh).convert("L"))).float()[None] / 255


def resized(picture: Image.Image, size_wh: tuple[int, int]) -> Image.Image:
    """A picture at a size in pixels (Lanczos)."""
    return picture if picture.size == size_wh else picture.resize(size_wh, Image.Resampling.LANCZOS)


def as_pixels(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size as pixels (B, 3, H, W) in -1..1."""
    stacked = np.stack([np.array(picture) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


def latents_of(model: Model, pictures: Sequence[Image.Image]) -> Tensor:
    """Scaled latents (B, C, h, w) of pictures, the mean of the VAE's posterior; each encoded on its own."""
    device, geometry = model.placement.device, model.family.latents
    latents = []
    for picture in pictures:
        pixels = as_pixels([picture]).to(device)
        height, width = (side // geometry.downscale for side in pixels.shape[2:])
        no_noise = torch.zeros(1, geometry.channels, height, width, device=device)
        with torch.autocast(device.type, enabled=False):
            latents.append(model.family.encode_pixels(model, pixels, no_noise).float())
    return torch.cat(latents)


def pictures_of(model: Model, latents: Tensor) -> list[Image.Image]:
    """Decoded pictures of scaled latents.

    Raises:
        NumericError: the VAE's numbers are not finite, as those of SDXL's in float16.
    """
    # A network that asks for autocast must not make the VAE compute in half precision: --no_half_vae.
    with torch.autocast(model.placement.device.type, enabled=False):
        pixels = model.family.decode_latents(model, latents.float())
    if not torch.isfinite(pixels).all():
        what = "The VAE's numbers became infinite or NaN while a picture was decoded."
        raise NumericError(what=what, fix="Add --no_half_vae, or use --bf16.")
    levels = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in levels]
