"""Everything random about a training sample, drawn on the CPU before the step.

A draw of one sample is seeded by the run's seed, its purpose and the sample's key; a draw of one batch by the step and
the key of its first sample, so that micro-batches of one step differ. See `data/draws.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batch import Batch, TextStates
from ..data.draws import draw, draw_seed
from ..diffusion.noise import normal, pyramid_noise
from ..diffusion.timesteps import draw_timestep, timestep_range, validation_timesteps
from ..options.loss import LossOptions


@dataclass(frozen=True)
class DenoisingInputs:
    """One micro-batch, complete: the step draws nothing itself.

    Args:
        captions: B captions, for when `text` is None.
        latents: (B, C, h, w) float32, or None.
        pixels: (B, 3, H, W) float32, or None; one of both is there.
        posterior_noise: (B, C, h, w), used when pixels are encoded; None with latents. It comes with the batch, because
            it depends on the picture alone.
        text: text states from the cache, or None.
        noise: (B, C, h, w), before offset and normalisation.
        timesteps: (B,) int64.
        channel_shift, shift_strength: (B, C, 1, 1) and scalar of the noise offset, or None.
        input_noise: (B, C, h, w), ip noise: added to the noise of the input, not of the target; or None.
        mask: (B, 1, h, w), or None.
        loss_weights: (B,).
        sizes: (B, 6) int64, see `Batch.sizes`.
        preserve_output: (B,) bool, or None when no sample asks for it.
        control: (B, 3, H, W) control pictures in -1..1, or None.
    """

    captions: list[str]
    latents: Tensor | None
    pixels: Tensor | None
    posterior_noise: Tensor | None
    text: TextStates | None
    noise: Tensor
    timesteps: Tensor
    channel_shift: Tensor | None
    shift_strength: Tensor | None
    input_noise: Tensor | None
    mask: Tensor | None
    loss_weights: Tensor
    sizes: Tensor
    preserve_output: Tensor | None
    control: Tensor | None = None

    def to(self, device: torch.device) -> DenoisingInputs:
        """The same on the device; from pinned memory nothing waits for the copy."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> DenoisingInputs:
        """The same in memory that a GPU can copy from by itself; data loaders call this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> DenoisingInputs:
        changed: dict[str, Tensor | TextStates] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = change(value)
            elif isinstance(value, TextStates):
                pooled = None if value.pooled is None else change(value.pooled)
                changed[field.name] = TextStates(change(value.hidden), pooled)
        return dataclasses.replace(self, **changed)  # type: ignore[arg-type]


@dataclass(frozen=True)
class InputDraws:
    """Makes the inputs of a batch; knows neither model nor device, so it can run in a loader's workers.

    Args:
        options: noise variants and the range of timesteps.
        seed: of the run.
        validation_seed: of measurements, which draw the same noise every time.
    """

    options: LossOptions
    seed: int
    validation_seed: int

    def __call__(self, batch: Batch, step: int) -> DenoisingInputs:
        """Inputs of a training batch; `step` is the number of updates before this one."""
        low, high = self._range
        timesteps = [draw_timestep(draw(self.seed, "timestep", *key), low, high) for key in batch.keys]
        seeds = Seeds(self.seed, [tuple(key) for key in batch.keys], (step, *batch.keys[0]))
        return self._inputs(batch, seeds, timesteps)

    def validation(self, batch: Batch) -> list[DenoisingInputs]:
        """Inputs of a validation batch at each measured timestep, independent of epoch and step."""
        inputs = []
        for timestep in validation_timesteps(*self._range):
            samples = [("validation", timestep, key.dataset, key.image) for key in batch.keys]
            seeds = Seeds(self.validation_seed, samples, samples[0])
            inputs.append(self._inputs(batch, seeds, [timestep] * len(batch)))
        return inputs

    @property
    def _range(self) -> tuple[int, int]:
        return timestep_range(self.options.min_timestep, self.options.max_timestep)

    def _inputs(self, batch: Batch, seeds: Seeds, timesteps: list[int]) -> DenoisingInputs:
        options = self.options
        like = batch.posterior_noise if batch.latents is None else batch.latents
        if like is None:
            raise ValueError("a batch needs latents, or pixels with posterior noise")
        _, channels, height, width = like.shape
        shape = channels, height, width
        noise = seeds.normal("noise", shape)
        if options.multires_noise_iterations:
            noise += self._pyramid(seeds, shape)
        shift = strength = input_noise = None
        if options.noise_offset:
            shift = seeds.normal("offset", (channels, 1, 1))
            strength = torch.tensor(
                options.noise_offset * seeds.fraction("offset strength", options.noise_offset_random_strength)
            )
        if options.ip_noise_gamma:
            gamma = options.ip_noise_gamma * seeds.fraction("ip strength", options.ip_noise_gamma_random_strength)
            input_noise = gamma * seeds.normal("ip noise", shape)
        mask = batch.mask
        if mask is not None and mask.shape[-2:] != (height, width):
            mask = F.interpolate(mask, size=(height, width), mode="area")
        return DenoisingInputs(
            captions=batch.captions,
            latents=batch.latents,
            pixels=batch.pixels if batch.latents is None else None,
            posterior_noise=batch.posterior_noise if batch.latents is None else None,
            text=batch.text,
            noise=noise,
            timesteps=torch.tensor(timesteps),
            channel_shift=shift,
            shift_strength=strength,
            input_noise=input_noise,
            mask=mask,
            loss_weights=batch.loss_weights,
            sizes=batch.sizes,
            preserve_output=batch.preserve_output if bool(batch.preserve_output.any()) else None,
            control=batch.control,
        )

    def _pyramid(self, seeds: Seeds, shape: tuple[int, int, int]) -> Tensor:
        """(B, C, h, w); the ratios between levels are one draw for the batch."""
        rng = draw(seeds.seed, "multires ratios", *seeds.batch)
        ratios = [rng.uniform(2, 4) for _ in range(self.options.multires_noise_iterations or 0)]
        discount = self.options.multires_noise_discount
        return torch.stack([pyramid_noise(seed, shape, ratios, discount) for seed in seeds.of_samples("multires")])


@dataclass(frozen=True)
class Seeds:
    """Seeds of one batch: `samples` and `batch` are the identities that its draws are keyed by."""

    seed: int
    samples: Sequence[tuple[int | str, ...]]
    batch: tuple[int | str, ...]

    def of_samples(self, purpose: str) -> list[int]:
        """One seed for each sample."""
        return [draw_seed(self.seed, purpose, *identity) for identity in self.samples]

    def normal(self, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """(B, *shape) standard normal, each sample from its own seed."""
        return torch.stack([normal(seed, shape) for seed in self.of_samples(purpose)])

    def fraction(self, purpose: str, random_strength: bool) -> float:
        """One draw from 0 to 1 for the whole batch, or 1 when the strength is fixed."""
        return draw(self.seed, purpose, *self.batch).random() if random_strength else 1.0
