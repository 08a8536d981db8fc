"""Everything random about an iteration of LECO, drawn on the CPU before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..data.draws import draw, draw_seed
from ..diffusion.noise import normal
from ..diffusion.schedules import TRAIN_TIMESTEPS
from ..formats.leco_prompts import PromptPair

SIDE_STEP = 64  # pixels between the sides of a dynamic resolution
LARGEST_ENLARGEMENT = 3.0  # of the original over the crop, for dynamic crops


@dataclass(frozen=True)
class ConceptInputs:
    """One micro-batch.

    Args:
        pair: place of the pair among the pairs.
        timestep: at which predictions are compared.
        latents: (B, C, h, w), pure noise, with the noise offset.
        step_noises: (k, B, C, h, w), what the k denoising steps add.
        sizes: (B, 6) int64: original height and width, crop top and left, target height and width, pixels.
    """

    pair: int
    timestep: int
    latents: Tensor
    step_noises: Tensor
    sizes: Tensor

    def to(self, device: torch.device) -> ConceptInputs:
        """The same on the device."""
        moved = {name: getattr(self, name).to(device) for name in ("latents", "step_noises", "sizes")}
        return replace(self, **moved)


@dataclass(frozen=True)
class ConceptDraws:
    """Makes the inputs of iterations; the same number always gives the same ones.

    Args:
        pairs: one is drawn for each iteration.
        max_denoising_steps: D; 1 to D - 1 steps are made.
        noise_offset: strength of a shift per channel.
        channels, downscale: of latents.
        seed: of the run.
    """

    pairs: Sequence[PromptPair]
    max_denoising_steps: int
    noise_offset: float
    channels: int
    downscale: int
    seed: int

    def __call__(self, number: int, step: int) -> ConceptInputs:
        """Inputs of micro-batch `number` of the run, counted over all processes."""
        rng = draw(self.seed, "concept", number)
        place = rng.randrange(len(self.pairs))
        pair = self.pairs[place]
        height, width = self._resolution(pair, number)
        steps = rng.randint(1, self.max_denoising_steps - 1)
        shape = pair.batch_size, self.channels, height // self.downscale, width // self.downscale
        latents = normal(draw_seed(self.seed, "concept latents", number), shape)
        if self.noise_offset:
            shift = normal(draw_seed(self.seed, "concept offset", number), (*shape[:2], 1, 1))
            latents = latents + self.noise_offset * shift
        return ConceptInputs(
            pair=place,
            timestep=TRAIN_TIMESTEPS - 1 - steps * TRAIN_TIMESTEPS // self.max_denoising_steps,
            latents=latents,
            step_noises=normal(draw_seed(self.seed, "concept steps", number), (steps, *shape)),
            sizes=torch.tensor([self._sizes(pair, height, width, number)] * pair.batch_size),
        )

    def _resolution(self, pair: PromptPair, number: int) -> tuple[int, int]:
        """Height and width; from half the side up to the side where a square one is dynamic."""
        height, width = pair.resolution_hw
        if not pair.dynamic_resolution or height != width:
            return height, width
        rng = draw(self.seed, "concept resolution", number)
        # Below twice the step, half a side would be no side.
        low, high = max(1, height // 2 // SIDE_STEP), max(1, height // SIDE_STEP)
        drawn = SIDE_STEP * rng.randint(low, high), SIDE_STEP * rng.randint(low, high)
        return drawn if height >= SIDE_STEP else (height, width)

    def _sizes(self, pair: PromptPair, height: int, width: int, number: int) -> list[int]:
        if not pair.dynamic_crops:
            return [height, width, 0, 0, height, width]
        rng = draw(self.seed, "concept crop", number)
        enlargement = rng.uniform(1.0, LARGEST_ENLARGEMENT)
        original = int(height * enlargement), int(width * enlargement)
        top, left = (
            rng.randrange(side - kept) if side > kept else 0
            for side, kept in zip(original, (height, width), strict=True)
        )
        return [*original, top, left, height, width]
