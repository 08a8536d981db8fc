"""Pixels to latents and back with the autoencoder of SD 1, SD 2 and SDXL."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .base import Model


def encode_pixels(model: Model, pixels: Tensor, noise: Tensor) -> Tensor:
    """One sample of the autoencoder's posterior, scaled; a NaN of the autoencoder stays one for the caller to see."""
    vae: Any = model.vae
    posterior = vae.encode(pixels.to(model.placement.vae_dtype)).latent_dist
    return model.family.latents.scale * (posterior.mean.float() + posterior.std.float() * noise)


def decode_latents(model: Model, latents: Tensor) -> Tensor:
    """Pictures of scaled latents."""
    unscaled = (latents / model.family.latents.scale).to(model.placement.vae_dtype)
    vae: Any = model.vae
    return vae.decode(unscaled, return_dict=False)[0].float().clamp(-1, 1)
