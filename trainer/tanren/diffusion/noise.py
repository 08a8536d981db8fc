"""Noise that is drawn from seeds, never from a global stream, and the variants that trainers add to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def normal(seed: int, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers, float32 on the CPU, the same for the same seed on every machine.

    numpy's Philox is keyed with all 64 bits; torch's CPU generator keeps only the lower 32 of its seed.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32))


def pyramid_sizes(height: int, width: int, ratios: Sequence[float]) -> list[tuple[int, int]]:
    """Sizes (h, w) of the noise pyramid's levels, in latent cells; the list ends with the first side of one cell.

    Args:
        height, width: size of the latents.
        ratios: one number from 2 to 4 for each iteration; level i is `ratio**i` times smaller, so level 0 is full size.
    """
    sizes = []
    for level, ratio in enumerate(ratios):
        size = max(1, math.floor(height / ratio**level)), max(1, math.floor(width / ratio**level))
        sizes.append(size)
        if 1 in size:
            break
    return sizes


def pyramid_noise(seed: int, shape: tuple[int, int, int], ratios: Sequence[float], discount: float) -> Tensor:
    """What multires noise adds to one sample's noise: coarser and coarser noise, stretched over the picture.

    Args:
        seed: of this sample's draw.
        shape: (C, h, w).
        ratios: as in `pyramid_sizes`.
        discount: level i counts `discount**i`.

    Returns:
        (C, h, w); still to be divided by the standard deviation of the whole batch.

    Source: Whitaker 2023, "Multi-Resolution Noise for Diffusion Model Training".
    """
    channels, height, width = shape
    sizes = pyramid_sizes(height, width, ratios)
    numbers = normal(seed, (channels * sum(h * w for h, w in sizes),))
    total, start = torch.zeros(shape), 0
    for level, (h, w) in enumerate(sizes):
        coarse = numbers[start : start + channels * h * w].view(1, channels, h, w)
        start += coarse.numel()
        total += F.interpolate(coarse, size=(height, width), mode="bilinear")[0] * discount**level
    return total


def shift_channels(
    noise: Tensor, shift: Tensor, strength: Tensor, latents: Tensor, adaptive_scale: float | None
) -> Tensor:
    """Noise offset: moves each channel of the noise as a whole, so that brightness can be learnt.

    Args:
        noise, latents: (B, C, h, w).
        shift: (B, C, 1, 1), standard normal.
        strength: scalar, `--noise_offset` or a random part of it.
        adaptive_scale: adds this times the size of each channel's mean to the strength, which stays at least 0.

    Source: Guttenberg 2023, "Diffusion with Offset Noise".
    """
    if adaptive_scale:
        means = latents.mean(dim=(2, 3), keepdim=True).abs()
        strength = (strength + adaptive_scale * means).clamp(min=0)
    return noise + strength * shift
