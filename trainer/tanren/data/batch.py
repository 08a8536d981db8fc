"""What one forward sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class SampleKey(NamedTuple):
    """Identity of one draw of one picture; all of its random choices are seeded by it."""

    epoch: int
    dataset: int
    image: int
    repeat: int


@dataclass(frozen=True)
class LatentGeometry:
    """How pixels become latents: `latents = scale * (posterior sample - shift)`, `downscale` pixels a cell."""

    channels: int
    downscale: int
    scale: float
    shift: float = 0.0


@dataclass
class TextStates:
    """What the text encoders say about B captions.

    Args:
        hidden: (B, tokens, width).
        pooled: (B, width), for families that use it.
    """

    hidden: Tensor
    pooled: Tensor | None = None


@dataclass
class Batch:
    """B samples of one bucket, on the CPU (pinned when a GPU is used).

    Args:
        keys: identity of each sample.
        paths: the picture files.
        captions: processed captions, ready for the tokenizer.
        bucket_wh: pixels.
        latents: (B, C, h, w) float32, after the VAE scale; None when `pixels` are to be encoded in the step.
        pixels: (B, 3, H, W) float32 in -1..1; None when `latents` are given.
        posterior_noise: (B, C, h, w) float32 standard normal, for the VAE's sample; None when `latents` are given. It
            depends on the picture's content alone, so that training without a latent cache sees the cache's latents.
        text: cached text states, or None when captions are to be encoded in the step.
        mask: (B, 1, h, w) float32 in 0..1 at latent size, or None when no sample has one.
        control: (B, 3, H, W) float32 in -1..1, the control pictures, or None where there are none.
        loss_weights: (B,) float32: prior_loss_weight for regularization pictures, else 1.
        preserve_output: (B,) bool: the target is the untrained model's own prediction.
        original_hw, crop_top_left, target_hw: (B, 2) int64, pixels, as size conditioning records them.
    """

    keys: list[SampleKey]
    paths: list[str]
    captions: list[str]
    bucket_wh: tuple[int, int]
    latents: Tensor | None
    pixels: Tensor | None
    posterior_noise: Tensor | None
    text: TextStates | None
    mask: Tensor | None
    loss_weights: Tensor
    preserve_output: Tensor
    original_hw: Tensor
    crop_top_left: Tensor
    target_hw: Tensor
    control: Tensor | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def sizes(self) -> Tensor:
        """(B, 6) int64: the size conditioning as the denoiser takes it, see `whole_picture_sizes`."""
        return torch.cat([self.original_hw, self.crop_top_left, self.target_hw], dim=1)


def whole_picture_sizes(size_wh: tuple[int, int], count: int) -> Tensor:
    """(count, 6) int64, in pixels: original height and width, crop top and left, target height and width.

    Of a picture that is made at its size: neither scaled nor cropped.
    """
    width, height = size_wh
    return torch.tensor([[height, width, 0, 0, height, width]]).expand(count, -1)
