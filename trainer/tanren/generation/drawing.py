"""Draw a batch of requests: from noise or a picture, in one stage or two, back to pixels.

Everything random of a picture comes from its own seed, on the CPU: it is the same alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..diffusion.samplers import begin_late, make_sampler, takes_generator
from ..errors import NumericError
from ..families.base import Model
from ..options.generating import DrawingModelOptions, DrawingOptions, DrawingSpeedOptions
from ..options.generating_inputs import ControlOptions, HighresOptions
from ..options.spec import Settings
from .guidance import Guidance
from .pixels import latents_of, load_mask, load_picture, pictures_of, resized
from .request import Request
from .stages import first_stage
from .texts import PromptEncoder, PromptStates


class Control(Protocol):
    """Control networks on the live model."""

    def show(self, requests: Sequence[Request], size_wh: tuple[int, int]) -> None:
        """Give them the control pictures of a batch, at the size of the pictures."""

    def at(self, done: float) -> None:
        """Switch off those whose time is over; `done` is the part of the steps before this one."""

    def hide(self) -> None:
        """Draw without them."""


@dataclass(frozen=True)
class Begin:
    """What a stage begins with in place of pure noise.

    Args:
        latents: (B, C, h, w) of the pictures, scaled.
        strength: part of the steps that are made.
        mask: (B, 1, h, w), 1 where the picture is drawn anew; None for everywhere.
    """

    latents: Tensor
    strength: float
    mask: Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """A finished picture, and that of its first stage where it is kept."""

    request: Request
    image: Image.Image
    first_stage: Image.Image | None = None


class Drawer:
    """Draws batches with a loaded model.

    Args:
        model: with its networks attached; their strengths are those of the batch.
        settings: of the run.
        encoder: of the prompts.
        autocast: around the model's calls, for networks that need it.
        control: control networks, where there are any.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        encoder: PromptEncoder,
        *,
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
        control: Control | None = None,
    ) -> None:
        self.model, self.encoder, self.autocast, self.control = model, encoder, autocast, control
        self.options, self.highres = settings[DrawingOptions], settings[HighresOptions]
        self.zero_terminal_snr = settings[DrawingModelOptions].zero_terminal_snr
        self.guides_second_stage = not settings[ControlOptions].highres_fix_disable_control_net
        self.vae_batch_size = settings[DrawingSpeedOptions].vae_batch_size

    @torch.no_grad()
    def draw(self, requests: Sequence[Request], on_step: Callable[[], None] = lambda: None) -> list[Drawn]:
        """Draw requests that differ in prompts, seeds and pictures only.

        Raises:
            NumericError: the model's numbers are not finite.
            DataError: a picture to begin with cannot be read.
        """
        with self.autocast():
            texts = [self.encoder.states(request) for request in requests]
        begin: Begin | None
        first: list[Image.Image] = []
        has_two_stages = self.highres.highres_fix_scale is not None
        if has_two_stages:
            small = [first_stage(request, self.highres) for request in requests]
            latents = self._stage(small, texts, self._begin(small), on_step, self.control)
            keeps = self.highres.highres_fix_save_1st or not self.highres.highres_fix_latents_upscaling
            first = self._pictures(latents) if keeps else []
            begin = Begin(self._enlarged(latents, first, requests[0].size_wh), requests[0].strength)
        else:
            begin = self._begin(requests)
        is_guided = not has_two_stages or self.guides_second_stage
        latents = self._stage(requests, texts, begin, on_step, self.control if is_guided else None)
        images = [
            _kept_outside(request, image) for request, image in zip(requests, self._pictures(latents), strict=True)
        ]
        if not self.highres.highres_fix_save_1st:
            first = []
        return [
            Drawn(request, image, first[index] if first else None)
            for index, (request, image) in enumerate(zip(requests, images, strict=True))
        ]

    def _stage(
        self,
        requests: Sequence[Request],
        texts: Sequence[PromptStates],
        begin: Begin | None,
        on_step: Callable[[], None],
        control: Control | None,
    ) -> Tensor:
        """Latents (B, C, h, w) of one stage, float32."""
        guidance = Guidance(self.model, requests, texts)
        if self.control is not None:
            self.control.hide()
        if control is not None:
            control.show(requests, requests[0].size_wh)
        with self.autocast():
            return self._sample(requests, guidance, begin, on_step, control)

    def _sample(
        self,
        requests: Sequence[Request],
        guidance: Guidance,
        begin: Begin | None,
        on_step: Callable[[], None],
        control: Control | None,
    ) -> Tensor:
        device, steps = self.model.placement.device, requests[0].steps
        sampler = make_sampler(
            requests[0].sampler,
            self.model.prediction_type,
            steps_offset=0 if self.options.force_scheduler_zero_steps_offset else 1,
            begins_between=begin is not None,
            zero_terminal_snr=self.zero_terminal_snr,
        )
        sampler.set_timesteps(steps, device=device)
        generators = [torch.Generator().manual_seed(request.seed) for request in requests]
        noise = self._noise(generators, requests[0].size_wh).to(device)
        if begin is None:
            timesteps, latents = sampler.timesteps, noise * sampler.init_noise_sigma
        else:
            timesteps = begin_late(sampler, steps, begin.strength)
            if not len(timesteps):
                return begin.latents
            latents = sampler.add_noise(begin.latents, noise, timesteps[:1])
        extra = {"generator": generators} if takes_generator(sampler) else {}
        for index, timestep in enumerate(timesteps):
            if control is not None:
                control.at(index / len(timesteps))
            prediction = guidance(sampler.scale_model_input(latents, timestep), timestep)
            latents = sampler.step(prediction, timestep, latents, **extra).prev_sample
            if begin is not None and begin.mask is not None:
                rest = begin.latents
                if index + 1 < len(timesteps):
                    rest = sampler.add_noise(rest, noise, timesteps[index + 1 : index + 2])
                latents = torch.lerp(rest, latents, begin.mask)
            on_step()
        if not torch.isfinite(latents).all():
            raise NumericError(
                what="The model's numbers became infinite or NaN while a picture was drawn.",
                fix="Try --bf16, or --no_half_vae if the pictures are black.",
            )
        return latents.float()

    def _noise(self, generators: Sequence[torch.Generator], size_wh: tuple[int, int]) -> Tensor:
        geometry = self.model.family.latents
        width, height = (side // geometry.downscale for side in size_wh)
        return torch.cat([torch.randn(1, geometry.channels, height, width, generator=one) for one in generators])

    def _begin(self, requests: Sequence[Request]) -> Begin | None:
        """The pictures that the requests begin with; all requests of a batch have one, or none has."""
        starts, size_wh = [request.start for request in requests], requests[0].size_wh
        pictures = [resized(load_picture(start.picture), size_wh) for start in starts if start is not None]
        if not pictures:
            return None
        masks = [load_mask(start.mask, size_wh) for start in starts if start is not None and start.mask is not None]
        latents = latents_of(self.model, pictures)
        mask = None
        if masks:
            mask = F.interpolate(torch.stack(masks), latents.shape[2:], mode="area").to(latents.device)
        return Begin(latents, requests[0].strength, mask)

    def _enlarged(self, latents: Tensor, pictures: Sequence[Image.Image], size_wh: tuple[int, int]) -> Tensor:
        """Latents of the first stage at the size of the second."""
        if not self.highres.highres_fix_latents_upscaling:
            return latents_of(self.model, [resized(picture, size_wh) for picture in pictures])
        height, width = (side // self.model.family.latents.downscale for side in reversed(size_wh))
        return F.interpolate(latents, (height, width), mode="bilinear")

    def _pictures(self, latents: Tensor) -> list[Image.Image]:
        """Decoded, as many at a time as `--vae_batch_size` says."""
        count, asked = len(latents), self.vae_batch_size
        at_once = count if asked is None else max(1, int(count * asked if asked < 1 else asked))
        return [picture for part in latents.split(at_once) for picture in pictures_of(self.model, part)]


def _kept_outside(request: Request, image: Image.Image) -> Image.Image:
    """With a mask, pixels outside of it are those of the picture, untouched by the way to latents and back."""
    if request.start is None or request.start.mask is None:
        return image
    mask = load_mask(request.start.mask, image.size)
    levels = (mask[0] * 255).round().to(torch.uint8).numpy()
    return Image.composite(image, resized(load_picture(request.start.picture), image.size), Image.fromarray(levels))
