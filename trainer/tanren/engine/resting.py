"""Where text encoders and VAE are while the U-Net learns, once their work is cached.

What is never needed again gives its memory back. What sample pictures need waits in main memory and comes to the GPU
for the pictures, unless there is little main memory (`--lowram`) or plenty of GPU memory (`--highvram`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..options.model import ModelOptions

NOWHERE, MAIN_MEMORY, WHERE_IT_IS = "nowhere", "main memory", "where it is"


def resting_place(options: ModelOptions, device: torch.device, *, draws_pictures: bool) -> str:
    """Where a part waits whose output is cached: NOWHERE, MAIN_MEMORY or WHERE_IT_IS.

    Args:
        device: that computes.
        draws_pictures: whether sample pictures will need the part.
    """
    if not draws_pictures:
        return NOWHERE
    is_elsewhere = device.type != "cpu" and not (options.lowram or options.highvram)
    return MAIN_MEMORY if is_elsewhere else WHERE_IT_IS


class Resting:
    """Parts of a model that wait.

    Args:
        options: `--lowram` and `--highvram`.
        device: that computes.
        draws_pictures: whether sample pictures will need them.
    """

    def __init__(self, options: ModelOptions, device: torch.device, *, draws_pictures: bool) -> None:
        self.place = resting_place(options, device, draws_pictures=draws_pictures)
        self.device, self.keeps_cache = device, options.highvram
        self.parts: list[nn.Module] = []

    def put(self, part: nn.Module) -> None:
        """Send a part to its place; calling a part that is nowhere is an error of torch's."""
        if self.place == WHERE_IT_IS:
            return
        if self.place == MAIN_MEMORY:
            self.parts.append(part)
        part.to("meta" if self.place == NOWHERE else "cpu")
        self._free()

    @contextmanager
    def at_hand(self) -> Iterator[None]:
        """The waiting parts are on the device inside."""
        try:
            for part in self.parts:
                part.to(self.device)
            yield
        finally:
            for part in self.parts:
                part.to("cpu")
            if self.parts:
                self._free()

    def _free(self) -> None:
        """Give back what torch keeps for later, so that other programs see it free; the next use has to ask again."""
        if torch.cuda.is_available() and not self.keeps_cache:
            torch.cuda.empty_cache()
