"""The loss of one batch, computed once more in float64 straight from the formulas; shares no formula with the product.

Only what is drawn at random is asked of the product's sources: `Draws` hands out raw numbers, before any of them is
scaled, stretched or added.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tanren.data.batch import Batch
from tanren.data.draws import draw, draw_seed
from tanren.diffusion.noise import normal
from torch import Tensor

Array = NDArray[np.float64]
BETA_START, BETA_END, STEPS = 0.00085, 0.012, 1000


@dataclass(frozen=True)
class Draws:
    """Raw random numbers of one batch."""

    seed: int
    step: int
    batch: Batch

    def normal(self, purpose: str, *shape: int) -> Array:
        """(B, *shape), standard normal."""
        drawn = [normal(draw_seed(self.seed, purpose, *key), shape).double().numpy() for key in self.batch.keys]
        return np.stack(drawn)

    def uniform(self, purpose: str, low: float = 0.0, high: float = 1.0, count: int = 1) -> list[float]:
        """Numbers that the whole batch shares."""
        rng = draw(self.seed, purpose, self.step, *self.batch.keys[0])
        return [rng.uniform(low, high) for _ in range(count)]


def alphas_bar(*, zero_terminal_snr: bool = False) -> Array:
    """ᾱ of the 1000 timesteps, in plain products."""
    betas = np.linspace(math.sqrt(BETA_START), math.sqrt(BETA_END), STEPS) ** 2
    product = np.cumprod(1 - betas)
    if not zero_terminal_snr:
        return product
    s = np.sqrt(product)
    return ((s - s[-1]) * s[0] / (s[0] - s[-1])) ** 2


def stretched(coarse: Array, height: int, width: int) -> Array:
    """Bilinear, half-pixel centres, edges repeated; (B, C, h, w) to (B, C, height, width)."""

    def places(size: int, source: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        position = np.clip((np.arange(size) + 0.5) * source / size - 0.5, 0, None)
        low = np.minimum(np.floor(position).astype(np.int64), source - 1)
        return low, np.minimum(low + 1, source - 1), position - low

    top, bottom, down = places(height, coarse.shape[2])
    left, right, across = places(width, coarse.shape[3])
    rows = coarse[:, :, top] * (1 - down)[:, None] + coarse[:, :, bottom] * down[:, None]
    return rows[..., left] * (1 - across) + rows[..., right] * across


def pyramid(draws: Draws, shape: tuple[int, int, int], iterations: int, discount: float) -> Array:
    """What multires noise adds: coarser and coarser noise until one side is one cell."""
    channels, height, width = shape
    ratios = draws.uniform("multires ratios", 2, 4, iterations)
    sizes = []
    for i in range(iterations):
        sizes.append((max(1, int(height / ratios[i] ** i)), max(1, int(width / ratios[i] ** i))))
        if min(sizes[-1]) == 1:
            break
    numbers = draws.normal("multires", channels * sum(h * w for h, w in sizes))
    total, start = np.zeros((len(numbers), *shape)), 0
    for i, (h, w) in enumerate(sizes):
        coarse = numbers[:, start : start + channels * h * w].reshape(-1, channels, h, w)
        start += channels * h * w
        total += stretched(coarse, height, width) * discount**i
    return total


def noises(options: Mapping[str, Any], draws: Draws, latents: Array) -> tuple[Array, Array]:
    """(noise of the target, noise of the input)"""
    shape = latents.shape[1:]
    noise = draws.normal("noise", *shape)
    if options.get("noise_offset"):
        strength: Any = options["noise_offset"]
        if options.get("noise_offset_random_strength"):
            strength = strength * draws.uniform("offset strength")[0]
        if options.get("adaptive_noise_scale"):
            size = np.abs(latents.mean(axis=(2, 3), keepdims=True))
            strength = np.maximum(0, strength + options["adaptive_noise_scale"] * size)
        noise = noise + strength * draws.normal("offset", shape[0], 1, 1)
    if options.get("multires_noise_iterations"):
        noise = noise + pyramid(
            draws, shape, options["multires_noise_iterations"], options.get("multires_noise_discount", 0.3)
        )
        noise = noise / noise.std(ddof=1)
    if not options.get("ip_noise_gamma"):
        return noise, noise
    gamma = options["ip_noise_gamma"]
    if options.get("ip_noise_gamma_random_strength"):
        gamma *= draws.uniform("ip strength")[0]
    return noise, noise + gamma * draws.normal("ip noise", *shape)


def huber_threshold(options: Mapping[str, Any], share: Array, timesteps: NDArray[np.int64]) -> Array:
    """c of each sample; `share` is its ᾱ."""
    h, scale = options.get("huber_c", 0.1), options.get("huber_scale", 1.0)
    schedule = options.get("huber_schedule", "snr")
    if schedule == "constant":
        return np.full(len(timesteps), h * scale)
    if schedule == "exponential":
        return scale * np.exp(math.log(h) / STEPS * timesteps)
    with np.errstate(divide="ignore"):
        sigma = np.sqrt((1 - share) / share)
    return (1 - h) / (1 + sigma) ** 2 + h


def element_losses(difference: Tensor, c: Tensor, loss_type: str) -> Tensor:
    """(B, C, h, w), in float64."""
    if loss_type == "l2":
        return difference**2
    if loss_type == "l1":
        return difference.abs()
    bent = 2 * (torch.sqrt(difference**2 + c**2) - c)
    return c * bent if loss_type == "huber" else bent


def weights_of_timesteps(options: Mapping[str, Any], snr: Array, *, predicts_v: bool) -> Array:
    """What min-SNR and its relatives multiply the loss of each sample by, one after the other."""
    loss = np.ones_like(snr)
    if options.get("min_snr_gamma"):
        capped = np.minimum(snr, options["min_snr_gamma"])
        loss = loss * (capped / (snr + 1) if predicts_v else capped / snr)
    s = np.minimum(snr, 1000)
    k = s / (s + 1)
    if options.get("scale_v_pred_loss_like_noise_pred"):
        loss = loss * k
    if options.get("v_pred_like_loss"):
        loss = loss + options["v_pred_like_loss"] * loss / k
    if options.get("debiased_estimation_loss"):
        loss = loss * (1 / (s + 1) if predicts_v else 1 / np.sqrt(s))
    return loss


def reference_loss(
    options: Mapping[str, Any],
    draws: Draws,
    timesteps: Tensor,
    predict: Callable[[Tensor], Tensor],
    *,
    predicts_v: bool,
    zero_terminal_snr: bool,
) -> Tensor:
    """The loss, a scalar in float64 that can be differentiated through `predict`.

    Args:
        options: loss options that are not at their defaults, by name.
        draws: raw random numbers of the batch.
        timesteps: (B,).
        predict: noisy latents in float64 -> what the model says, in float64.
    """
    batch, t = draws.batch, timesteps.numpy()
    assert batch.latents is not None
    latents = batch.latents.double().numpy()
    share = alphas_bar(zero_terminal_snr=zero_terminal_snr)[t]
    snr = (alphas_bar() / (1 - alphas_bar()))[t]
    noise, input_noise = noises(options, draws, latents)

    signal, spread = (np.sqrt(part).reshape(-1, 1, 1, 1) for part in (share, 1 - share))
    prediction = predict(torch.from_numpy(signal * latents + spread * input_noise))
    target = torch.from_numpy(signal * noise - spread * latents if predicts_v else noise)
    c = torch.from_numpy(huber_threshold(options, share, t)).view(-1, 1, 1, 1)
    loss = element_losses(prediction - target, c, options.get("loss_type", "l2"))
    if batch.mask is not None:
        loss = loss * batch.mask.double()
    per_sample = loss.mean(dim=(1, 2, 3)) * batch.loss_weights.double()
    return (per_sample * torch.from_numpy(weights_of_timesteps(options, snr, predicts_v=predicts_v))).mean()
