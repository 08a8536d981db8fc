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

ONE_BY_ONE: dict[str, Any] = {
    "bias_sizes": None,
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "transposed": False,
    "output_padding": (0, 0),
    "groups": 1,
}

PER_SIDE = ("stride", "padding", "dilation")


class LoraLinear(torch.autograd.Function):
    """A frozen Linear and its low-rank change.

    x (..., in), weight (out, in), bias (out,) or None, down (rank, in), up (out, rank), gain broadcastable to
    (..., rank) or None. Gradients for x, down and up only.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        gain: Tensor | None,
        scale: float,
    ) -> Tensor:
        """Return (..., out) in the compute dtype."""
        dtype = compute_dtype(x, weight)
        rows = x.reshape(-1, x.shape[-1]).to(dtype)
        bias = None if bias is None else bias.to(dtype)
        down_cast, up_cast = down.to(dtype), up.to(dtype)
        y = F.linear(rows, weight.to(dtype), bias)
        hidden = rows @ down_cast.t()
        if gain is not None:
            gain = gain.expand(*x.shape[:-1], down.shape[0]).reshape(hidden.shape).to(dtype)
            hidden = hidden * gain
        y.addmm_(hidden, up_cast.t(), alpha=scale)
        ctx.save_for_backward(rows, weight, down_cast, up_cast, hidden, gain)
        ctx.scale, ctx.shape = scale, x.shape
        ctx.x_dtype, ctx.down_dtype, ctx.up_dtype = x.dtype, down.dtype, up.dtype
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, down and up for `grad` (..., out)."""
        rows, weight, down, up, hidden, gain = ctx.saved_tensors
        scale = ctx.scale
        grad = grad.reshape(-1, grad.shape[-1])
        grad_hidden = grad @ up
        if gain is not None:
            grad_hidden = grad_hidden * gain
        grad_x = grad_down = grad_up = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight.to(grad.dtype)).addmm_(grad_hidden, down, alpha=scale)
            grad_x = grad_x.view(ctx.shape).to(ctx.x_dtype)
        # With beta=0 the first argument gives only its shape: the scale costs no kernel of its own.
        if ctx.needs_input_grad[3]:
            grad_down = torch.addmm(down, grad_hidden.t(), rows, beta=0, alpha=scale).to(ctx.down_dtype)
        if ctx.needs_input_grad[4]:
            grad_up = torch.addmm(up, grad.t(), hidden, beta=0, alpha=scale).to(ctx.up_dtype)
        return grad_x, None, None, grad_down, grad_up, None, None


class LoraConv2d(torch.autograd.Function):
    """A frozen Conv2d and its low-rank change: down has the frozen kernel, stride and padding, up is 1×1.

    x (B, in, H, W), down (rank, in, kh, kw), up (out, rank, 1, 1), gain broadcastable to (B, rank, H', W') or None.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        gain: Tensor | None,
        scale: float,
        geometry: dict[str, Any],
    ) -> Tensor:
        """Return (B, out, H', W') in the compute dtype and the memory format of the frozen convolution."""
        dtype = compute_dtype(x, weight)
        pixels = x.to(dtype)
        bias = None if bias is None else bias.to(dtype)
        down_cast, up_cast = down.to(dtype), up.to(dtype)
        y = F.conv2d(pixels, weight.to(dtype), bias, **geometry)
        hidden = F.conv2d(pixels, down_cast, None, **geometry)
        if gain is not None:
            gain = gain.to(dtype)
            hidden = hidden * gain
        y.add_(F.conv2d(hidden, up_cast), alpha=scale)
        ctx.save_for_backward(pixels, weight, down_cast, up_cast, hidden, gain)
        ctx.scale, ctx.geometry = scale, geometry
        ctx.x_dtype, ctx.down_dtype, ctx.up_dtype = x.dtype, down.dtype, up.dtype
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, down and up for `grad` (B, out, H', W')."""
        pixels, weight, down, up, hidden, gain = ctx.saved_tensors
        need_x, need_down, need_up = (ctx.needs_input_grad[index] for index in (0, 3, 4))
        grad_hidden, grad_up, _ = torch.ops.aten.convolution_backward(
            grad, hidden, up, output_mask=(True, need_up, False), **ONE_BY_ONE
        )
        grad_hidden.mul_(ctx.scale)
        if gain is not None:
            grad_hidden = grad_hidden * gain
        geometry = {**ONE_BY_ONE, **ctx.geometry}
        grad_x, grad_down, _ = torch.ops.aten.convolution_backward(
            grad_hidden, pixels, down, output_mask=(need_x, need_down, False), **geometry
        )
        if need_x:
            through_weight, _, _ = torch.ops.aten.convolution_backward(
                grad, pixels, weight.to(grad.dtype), output_mask=(True, False, False), **geometry
            )
            grad_x = through_weight.add_(grad_x).to(ctx.x_dtype)
        grad_down = grad_down.to(ctx.down_dtype) if need_down else None
        grad_up = grad_up.mul_(ctx.scale).to(ctx.up_dtype) if need_up else None
        return grad_x, None, None, grad_down, grad_up, None, None, None


def compute_dtype(x: Tensor, weight: Tensor) -> torch.dtype:
    """Dtype to compute in: autocast's where it is on, else that of the frozen weight."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind) and weight.dtype is not torch.float64:
        return torch.get_autocast_dtype(kind)
    return weight.dtype


def takes_one_node(leaf: nn.Module) -> bool:
    """True for an ordinary frozen Linear or Conv2d whose forward nobody else has replaced."""
    if type(leaf) not in (nn.Linear, nn.Conv2d) or "forward" in leaf.__dict__:
        return False
    if isinstance(leaf, nn.Conv2d) and (leaf.groups != 1 or leaf.padding_mode != "zeros"):
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
            return LoraConv2d.apply(x, leaf.weight, leaf.bias, self.down, self.up, gain, strength, self._geometry)
        return LoraLinear.apply(x, leaf.weight, leaf.bias, self.down, self.up, gain, strength)

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
