"""How much noise there is at each timestep, and the mixtures of latents and noise that follow from it.

Source: Ho et al. 2020, arXiv:2006.11239, section 2. Stable Diffusion was trained with scaled-linear betas.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TRAIN_TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012


def scaled_linear_betas() -> Tensor:
    """(1000,) float64: the square of a straight line between the square roots of both ends."""
    return torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAIN_TIMESTEPS, dtype=torch.float64) ** 2


@dataclass(frozen=True)
class NoiseSchedule:
    """Tables over the integer timesteps 0 (almost clean) to 999 (almost noise), all on one device.

    Args:
        signal, spread: (1000,) float32, √ᾱ and √(1−ᾱ): how much of the latents and of the noise the mixture holds.
        snr: (1000,) float32, signal to noise ratio of the betas the model was trained with. It stays as it is when the
            terminal SNR is set to zero, because loss weights divide by it.
    """

    signal: Tensor
    spread: Tensor
    snr: Tensor

    @classmethod
    def stable_diffusion(cls) -> NoiseSchedule:
        """The schedule of SD 1, SD 2 and SDXL, computed in float64."""
        alphas_cumprod = torch.cumprod(1 - scaled_linear_betas(), dim=0)
        snr = alphas_cumprod / (1 - alphas_cumprod)
        return cls(alphas_cumprod.sqrt().float(), (1 - alphas_cumprod).sqrt().float(), snr.float())

    @property
    def alphas_cumprod(self) -> Tensor:
        """(1000,) float32: ᾱ, the share of the latents' variance that is left."""
        return self.signal.square()

    def zero_terminal_snr(self) -> NoiseSchedule:
        """The same schedule shifted and stretched so that the last timestep is pure noise; `snr` stays.

        Source: Lin et al. 2023, arXiv:2305.08891, algorithm 1.
        """
        signal = self.signal.double()
        first, last = signal[0], signal[-1]
        signal = (signal - last) * first / (first - last)
        return NoiseSchedule(signal.float(), (1 - signal**2).sqrt().float(), self.snr)

    def to(self, device: torch.device) -> NoiseSchedule:
        """The same tables on another device."""
        return NoiseSchedule(self.signal.to(device), self.spread.to(device), self.snr.to(device))

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Noisy latents √ᾱ·latents + √(1−ᾱ)·noise.

        Args:
            latents, noise: (B, C, h, w).
            timesteps: (B,) int64, 0..999, on the device of the tables.
        """
        signal, spread = self._mixture(latents, timesteps)
        return signal * latents + spread * noise

    def velocity(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What a v-prediction model says: √ᾱ·noise − √(1−ᾱ)·latents.

        Source: Salimans and Ho 2022, arXiv:2202.00512, appendix D.
        """
        signal, spread = self._mixture(latents, timesteps)
        return signal * noise - spread * latents

    def _mixture(self, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (latents.ndim - 1))
        signal, spread = self.signal[timesteps].view(shape), self.spread[timesteps].view(shape)
        return signal.to(latents.dtype), spread.to(latents.dtype)
