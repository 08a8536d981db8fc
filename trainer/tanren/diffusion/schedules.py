"""How much noise there is at each timestep, and the mixtures of latents and noise that follow from it.

Source: Ho et al. 2020, arXiv:2006.11239, section 2; the scaled-linear betas are those Stable Diffusion was trained with.
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
        alphas_cumprod: (1000,) float32, the share of the latents' variance that is left.
        snr: (1000,) float32, signal to noise ratio of the betas the model was trained with. It stays as it is when the
            terminal SNR is set to zero, because loss weights divide by it.
    """

    alphas_cumprod: Tensor
    snr: Tensor

    @classmethod
    def stable_diffusion(cls) -> NoiseSchedule:
        """The schedule of SD 1, SD 2 and SDXL, computed in float64."""
        alphas_cumprod = torch.cumprod(1 - scaled_linear_betas(), dim=0)
        return cls(alphas_cumprod.float(), (alphas_cumprod / (1 - alphas_cumprod)).float())

    def zero_terminal_snr(self) -> NoiseSchedule:
        """The same schedule shifted and stretched so that the last timestep is pure noise; `snr` stays.

        Source: Lin et al. 2023, arXiv:2305.08891, algorithm 1.
        """
        sqrt_alphas = self.alphas_cumprod.double().sqrt()
        first, last = sqrt_alphas[0], sqrt_alphas[-1]
        stretched = (sqrt_alphas - last) * first / (first - last)
        return NoiseSchedule((stretched**2).float(), self.snr)

    def betas(self) -> Tensor:
        """(1000,) float32, rebuilt from the ratios of neighbouring `alphas_cumprod`; what samplers ask for."""
        alphas_cumprod = self.alphas_cumprod.double()
        before = torch.cat([torch.ones_like(alphas_cumprod[:1]), alphas_cumprod[:-1]])
        return (1 - alphas_cumprod / before).float()

    def to(self, device: torch.device) -> NoiseSchedule:
        """The same tables on another device."""
        return NoiseSchedule(self.alphas_cumprod.to(device), self.snr.to(device))

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
        alpha_bar = self.alphas_cumprod[timesteps].view(-1, *[1] * (latents.ndim - 1))
        return alpha_bar.sqrt().to(latents.dtype), (1 - alpha_bar).sqrt().to(latents.dtype)
