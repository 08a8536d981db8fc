"""Linear multistep sampler in the form of diffusers' schedulers.

diffusers has the same one, but only where scipy is installed. The integral that it computes numerically is that of a
polynomial, so a few lines of numpy give it exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .schedules import TRAIN_TIMESTEPS, NoiseSchedule

ORDER = 4


class Stepped(NamedTuple):
    """Latents after one step."""

    prev_sample: Tensor


def multistep_weights(sigmas: Sequence[float], step: int, order: int) -> list[float]:
    """How much the last `order` slopes count from sigmas[step] to sigmas[step + 1], the newest first.

    Each weight is the integral of the Lagrange polynomial that is 1 at its own sigma and 0 at the others.

    Source: Karras et al. 2022, arXiv:2206.00364, and Adams-Bashforth methods with uneven steps.
    """
    past = [sigmas[step - back] for back in range(order)]
    weights = []
    for own in past:
        others = [sigma for sigma in past if sigma != own]
        basis = np.poly1d(others, r=True) / np.prod([own - other for other in others])
        area = basis.integ()
        weights.append(float(area(sigmas[step + 1]) - area(sigmas[step])))
    return weights


class LinearMultistep:
    """Follows the probability flow with up to four remembered slopes.

    Args:
        prediction_type: "epsilon" or "v".

    `set_timesteps` fills `timesteps` (whole and fractional numbers from 999 to 0), `sigmas` (noise over signal, ending
    in 0) and `init_noise_sigma`.
    """

    def __init__(self, prediction_type: str) -> None:
        self.prediction_type = prediction_type
        self.timesteps = torch.empty(0)
        self.sigmas: list[float] = []
        self.init_noise_sigma = 1.0
        self._slopes: list[Tensor] = []
        self._step = 0

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """Choose evenly spaced timesteps and forget earlier slopes."""
        schedule = NoiseSchedule.stable_diffusion()
        all_sigmas = (schedule.spread.double() / schedule.signal.double()).numpy()
        timesteps = np.linspace(0, TRAIN_TIMESTEPS - 1, num_inference_steps)[::-1]
        self.sigmas = [*np.interp(timesteps, np.arange(TRAIN_TIMESTEPS), all_sigmas).tolist(), 0.0]
        self.timesteps = torch.tensor(timesteps.copy(), dtype=torch.float32, device=device)
        self.init_noise_sigma = self.sigmas[0]
        self._slopes, self._step = [], 0

    def scale_model_input(self, sample: Tensor, timestep: Tensor | float) -> Tensor:
        """Latents as the model knows them, with unit variance."""
        return sample / (self.sigmas[self._step] ** 2 + 1) ** 0.5

    def step(self, model_output: Tensor, timestep: Tensor | float, sample: Tensor) -> Stepped:
        """Go from one sigma to the next."""
        sigma = self.sigmas[self._step]
        self._slopes.insert(0, self._slope(model_output, sample, sigma))
        del self._slopes[ORDER:]
        weights = multistep_weights(self.sigmas, self._step, len(self._slopes))
        for weight, slope in zip(weights, self._slopes, strict=True):
            sample = sample + weight * slope
        self._step += 1
        return Stepped(sample)

    def _slope(self, model_output: Tensor, sample: Tensor, sigma: float) -> Tensor:
        """Change of the latents per change of sigma: the noise that they hold."""
        if self.prediction_type != "v":
            return model_output
        clean = model_output * (-sigma / (sigma**2 + 1) ** 0.5) + sample / (sigma**2 + 1)
        return (sample - clean) / sigma

    def set_begin_index(self, begin_index: int) -> None:
        """Begin at a later timestep."""
        self._step = begin_index

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents of a picture with as much noise as they have now."""
        return original_samples + noise * self.sigmas[self._step]
