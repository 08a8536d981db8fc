"""One low-rank layer on top of a frozen Linear or Conv2d, as one autograd node.

    y = W x + b + s · up(gain ⊙ down(x)),   s = multiplier · alpha / rank

Written plainly this doubles the kernels of a training step and keeps x twice when dtypes differ. Here the frozen
layer and its change are one node: x is saved once, in the dtype the frozen layer computes in; down and up (small) are
cast to that dtype, never x or y (large); the change is added in place. Memory format: the result is laid out as the
frozen layer alone would lay it out (contiguous rows for Linear; for Conv2d the format of x).

Source of the update: Hu et al. 2021, arXiv:2106.09685, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.eight_bit import is_own_forward
from ..models.gated_gelu import GatedGelu
from .lora_conv import lora_conv2d
from .lora_linear import LoraLinear

PER_SIDE = ("stride", "padding", "dilation")


def takes_one_node(leaf: nn.Module) -> bool:
    """True for an ordinary frozen Linear or Conv2d whose forward nobody else has replaced."""
    if type(leaf) not in (nn.Linear, nn.Conv2d) or not is_own_forward(leaf):
        return False
    if isinstance(leaf, nn.Conv2d) and (leaf.groups != 1 or leaf.padding_mode != "zeros" or leaf.padding == "same"):
        return False
    return leaf.get_parameter("weight").is_floating_point()


@dataclass(frozen=True)
class Dropout:
    """Probabilities, used in training mode only.

    Args:
        neurons: of single activations of down(x); the rest grows by 1 / (1 - p).
        ranks: of whole ranks of a sample; the rest grows by 1 / (1 - p).
        layer: of the layer's change in one call.
    """

    neurons: float = 0.0
    ranks: float = 0.0
    layer: float = 0.0


class LoraLayer(nn.Module):
    """Changes the forward of one live layer in place.

    Args:
        leaf: the live Linear or Conv2d.
        down, up: initial weights.
        alpha: scale is alpha / rank.
        dropout: probabilities.
    """

    def __init__(
        self,
        leaf: nn.Linear | nn.Conv2d,
        down: Tensor,
        up: Tensor,
        alpha: float,
        dropout: Dropout,
    ) -> None:
        super().__init__()
        self.down, self.up, self.alpha = nn.Parameter(down), nn.Parameter(up), alpha
        self.dropout = dropout
        self.multiplier = 1.0
        self.is_conv = isinstance(leaf, nn.Conv2d)
        # In a list, so that the frozen layer is no part of this module.
        self._leaf = [leaf]
        self._geometry = _geometry(leaf)
        self._one_node = takes_one_node(leaf)
        self._plain_forward = leaf.forward
        leaf.__dict__["forward"] = self.forward

    @property
    def leaf(self) -> nn.Linear | nn.Conv2d:
        """The live layer."""
        return self._leaf[0]

    @property
    def rank(self) -> int:
        """Rows of down."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """Alpha / rank."""
        return self.alpha / self.rank

    def remove(self) -> None:
        """Give the live layer its own forward back."""
        self.leaf.__dict__.pop("forward", None)
        if self._plain_forward != self.leaf.forward:
            self.leaf.__dict__["forward"] = self._plain_forward

    def forward(self, x: Tensor) -> Tensor:
        """What the live layer answers now; same shape and memory format as before."""
        strength = self.multiplier * self.scale
        if strength == 0:
            return self._plain_forward(x)
        leaf = self.leaf
        if not self._one_node or leaf.weight.requires_grad:
            return self._plain_sum(x, strength)
        gain = self._gain(x)
        if self.is_conv:
            return lora_conv2d(x, leaf.weight, leaf.bias, self.down, self.up, gain, strength, self._geometry)
        return LoraLinear.apply(x, leaf.weight, leaf.bias, self.down, self.up, gain, strength, False)

    def after_gated_gelu(self, x: Tensor) -> Tensor:
        """forward(gated_gelu(x)) for a Linear, keeping only x (..., 2 in); lean feed-forward layers call it."""
        strength, leaf = self.multiplier * self.scale, self.leaf
        if strength == 0 or not self._one_node or leaf.weight.requires_grad:
            return self.forward(GatedGelu.apply(x))
        gain = self._gain(x[..., : x.shape[-1] // 2])
        return LoraLinear.apply(x, leaf.weight, leaf.bias, self.down, self.up, gain, strength, True)

    def _plain_sum(self, x: Tensor, strength: float) -> Tensor:
        y = self._plain_forward(x)
        down, up = self.down.to(x.dtype), self.up.to(x.dtype)
        hidden = F.conv2d(x, down, None, **self._geometry) if self.is_conv else F.linear(x, down)
        gain = self._gain(x)
        if gain is not None:
            hidden = hidden * gain.to(hidden.dtype)
        change = F.conv2d(hidden, up) if self.is_conv else F.linear(hidden, up)
        return y + strength * change.to(y.dtype)

    def _gain(self, x: Tensor) -> Tensor | None:
        """All dropout of this call as one factor on down(x), drawn on the device so that nobody waits for it.

        Draws come from the device's global stream: whoever runs a step seeds it, and checkpointing restores it.
        """
        drop = self.dropout
        if not self.training or drop == Dropout():
            return None
        gain = torch.ones((), device=x.device)
        if drop.layer:
            gain = gain * _kept((1,) * x.dim(), drop.layer, x.device)
        if drop.ranks:
            gain = gain * _kept(self._rank_shape(x), drop.ranks, x.device) / (1 - drop.ranks)
        if drop.neurons:
            shape = self._conv_hidden_shape(x) if self.is_conv else (*x.shape[:-1], self.rank)
            gain = gain * _kept(shape, drop.neurons, x.device) / (1 - drop.neurons)
        return gain

    def _rank_shape(self, x: Tensor) -> tuple[int, ...]:
        ones = [1] * (x.dim() - 2)
        return (x.shape[0], self.rank, *ones) if self.is_conv else (x.shape[0], *ones, self.rank)

    def _conv_hidden_shape(self, x: Tensor) -> tuple[int, ...]:
        sizes = zip(x.shape[2:], self.down.shape[2:], *(self._geometry[k] for k in PER_SIDE), strict=True)
        sides = [(size + 2 * pad - dil * (kernel - 1) - 1) // stride + 1 for size, kernel, stride, pad, dil in sizes]
        return (x.shape[0], self.rank, *sides)


def _geometry(leaf: nn.Module) -> dict[str, Any]:
    if not isinstance(leaf, nn.Conv2d):
        return {}
    return {name: getattr(leaf, name) for name in PER_SIDE}


def _kept(shape: tuple[int, ...], drop: float, device: torch.device) -> Tensor:
    """1 with probability 1 - drop, else 0."""
    return (torch.rand(shape, device=device) >= drop).float()
