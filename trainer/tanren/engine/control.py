"""The control pictures of sample prompts (`--cn FILE`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from ..data.images import load_image
from ..data.latent_cache import to_float
from ..data.resize import resize
from ..families.base import Model
from ..formats.sample_prompts import SamplePrompt
from ..networks.lllite import LlliteNetwork
from .previews import Steered


def control_pixels(path: str, size_wh: tuple[int, int]) -> Tensor:
    """(1, 3, H, W) in -1..1: a control picture at the size of the picture that is made.

    Raises:
        DataError: it cannot be used.
        OSError: it cannot be read.
    """
    return to_float(resize(load_image(path).pixels, size_wh)).unsqueeze(0)


def steered_by(network: LlliteNetwork, model: Model) -> Steered:
    """What is put around the drawing of a prompt: its control picture steers the model, where it has one."""

    @contextmanager
    def steered(prompt: SamplePrompt) -> Iterator[None]:
        picture = None
        if prompt.controlnet_image is not None:
            size_wh = prompt.size_wh(model.family.latents.downscale)
            picture = control_pixels(prompt.controlnet_image, size_wh).to(model.placement.device)
        network.show(picture)
        try:
            yield
        finally:
            network.show(None)

    return steered
