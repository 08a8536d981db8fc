"""Control networks (ControlNet-LLLite) on the model that draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..checkpoint.weights import load_weights
from ..families.base import Model
from ..networks.lllite import LlliteNetwork, attach_like
from ..options.generating_inputs import ControlOptions
from .pixels import as_pixels, load_picture, resized
from .request import Request


class LlliteControl:
    """All control networks of a run; made by `control_of`.

    Args:
        model: they are on.
        networks: in the order of the options.
        multipliers: strength of each.
        ratios: part of the steps, from the first, in which each acts.
    """

    def __init__(
        self, model: Model, networks: Sequence[LlliteNetwork], multipliers: Sequence[float], ratios: Sequence[float]
    ) -> None:
        self.model, self.networks = model, networks
        self.multipliers, self.ratios = multipliers, ratios

    def show(self, requests: Sequence[Request], size_wh: tuple[int, int]) -> None:
        """Give each network its control pictures of a batch, resized to the pictures that are drawn."""
        for index, network in enumerate(self.networks):
            pictures = [resized(load_picture(request.guides[index]), size_wh) for request in requests]
            network.show(as_pixels(pictures).to(self.model.placement.device, self.model.placement.dtype))

    def at(self, done: float) -> None:
        """Switch off those whose time is over; `done` is the part of the steps before this one."""
        for network, multiplier, ratio in zip(self.networks, self.multipliers, self.ratios, strict=True):
            network.set_multiplier(multiplier if done <= ratio else 0.0)

    def hide(self) -> None:
        """Draw without them."""
        for network in self.networks:
            network.show(None)


@torch.no_grad()
def control_of(model: Model, options: ControlOptions) -> LlliteControl | None:
    """The control networks of a run on the live model, or None.

    Raises:
        ModelFileError: a file is no ControlNet-LLLite for this model.
    """
    names = options.control_net_lllite_models
    if not names:
        return None
    networks = []
    for name in names:
        network = attach_like(model.family.lora_targets(model), load_weights(Path(name)), name)
        networks.append(network.to(model.placement.device, model.placement.dtype).eval())
    return LlliteControl(
        model,
        networks,
        _for_each(options.control_net_multipliers, len(names)),
        _for_each(options.control_net_ratios, len(names)),
    )


def _for_each(given: Sequence[float], count: int) -> list[float]:
    """One number for each network; missing ones are 1."""
    return [*given[:count], *[1.0] * (count - len(given))]
