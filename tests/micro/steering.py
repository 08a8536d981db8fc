"""A ControlNet-LLLite on the embedded SDXL model: what it draws, and how well it predicts, for control pictures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from micro.controls import Outlined, overlap
from micro_pictures import loaded, sampling_module
from PIL import Image
from safetensors.torch import load_file
from tanren.data.latent_cache import to_float
from tanren.diffusion.schedules import NoiseSchedule
from tanren.families import sdxl
from tanren.families.layers import unet_layers
from tanren.micro.drawing import Pixels
from tanren.networks import lllite
from torch import Tensor

BATCH = 32
WHOLE = (64, 64, 0, 0, 64, 64)


class Steered:
    """micro-SDXL with the network of a file on it, read by the product and drawn with diffusers' scheduler.

    Args:
        multiplier: strength of the control.
    """

    def __init__(self, file: Path, multiplier: float = 1.0) -> None:
        self.micro = loaded("sdxl")
        layers = list(unet_layers(self.micro.unet, sdxl.unet_path, sdxl.block_index))
        self.network = lllite.attach_like(layers, load_file(file), str(file))
        self.network.eval()
        self.network.set_multiplier(multiplier)

    @contextmanager
    def by(self, controls: Sequence[Outlined] | None, *, mirrored: bool = False):
        """While it lasts, these control pictures steer the model; None: nothing does."""
        self.network.show(None if controls is None else pictures_of(controls, mirrored))
        yield
        self.network.show(None)

    def drawn(self, asked: Sequence[Outlined], seed: int, *, steer: bool, mirrored: bool = False) -> list[Pixels]:
        """One picture for each, with the control pictures or without; all noise depends on the seed alone.

        New noise at each step gives the control more than one chance to move what has been begun elsewhere.
        """
        pictures: list[Pixels] = []
        for start in range(0, len(asked), BATCH):
            some = asked[start : start + BATCH]
            with self.by(some if steer else None, mirrored=mirrored):
                prompts = [one.asked for one in some]
                pictures += sampling_module().generate(self.micro, prompts, seed=seed + start, eta=1.0)
        return pictures

    def better(self, shown: Sequence[Outlined], others: Sequence[Outlined], timestep: int) -> float:
        """Share of pictures in which noise is predicted better with their own control picture than with `others`."""
        own, strange = (self.errors(shown, controls, timestep) for controls in (shown, others))
        return float((own < strange).float().mean())

    @torch.no_grad()
    def errors(self, shown: Sequence[Outlined], controls: Sequence[Outlined] | None, timestep: int) -> Tensor:
        """(B,): mean squares of what is wrong with the noise predicted in each; the noise is always the same."""
        schedule = NoiseSchedule.stable_diffusion()
        latents = self.micro.vae.encode(torch.stack([to_float(one.picture) for one in shown])).latent_dist.mean
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(5))
        scale = self.micro.vae.config.scaling_factor
        noisy = schedule.signal[timestep] * latents * scale + schedule.spread[timestep] * noise
        with self.by(controls):
            conditions = self.micro.conditions([one.asked for one in shown], WHOLE)
            predicted = self.micro.unet(noisy, torch.tensor(timestep), **conditions).sample
        return (predicted - noise).square().mean(dim=(1, 2, 3))


def pictures_of(controls: Sequence[Outlined], mirrored: bool = False) -> Tensor:
    """(B, 3, H, W) in -1..1."""
    pictures = torch.stack([to_float(one.outline) for one in controls])
    return pictures.flip(3) if mirrored else pictures


def overlaps(pictures: Sequence[Pixels], controls: Sequence[Outlined], *, mirrored: bool = False) -> np.ndarray:
    """Of each picture with the shape of its control, or with its mirror image."""
    return np.array([overlap(one, made, mirrored) for one, made in zip(pictures, controls, strict=True)])


def sheet(controls: Sequence[Outlined], *rows: Sequence[Pixels]) -> Image.Image:
    """A column for each control: its picture, then one of each row below it."""
    pictures = [[one.outline for one in controls], *(row[: len(controls)] for row in rows)]
    return Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in pictures], axis=0))
