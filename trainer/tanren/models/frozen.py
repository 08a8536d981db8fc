"""Frozen layers as autograd nodes that keep their weight as it is stored, and not what they read.

Nobody asks for the gradient of a frozen weight, so the layer's input need not be kept for it. A weight that is stored
in 8 bits is cast in the forward pass and once more in the backward pass: its copy lives as long as one product.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

aten = torch.ops.aten
# Numbers to keep, not to compute with; see `eight_bit.py`.
STORED = torch.float8_e4m3fn


def compute_dtype(x: Tensor, weight: Tensor) -> torch.dtype:
    """Dtype to compute in: autocast's where it is on, else that of the frozen weight, or of x for one in 8 bits."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind) and weight.dtype is not torch.float64:
        return torch.get_autocast_dtype(kind)
    return x.dtype if weight.dtype is STORED else weight.dtype


class FrozenLinear(torch.autograd.Function):
    """Linear whose weight and bias have no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(..., in) -> (..., out) in the compute dtype."""
        dtype = compute_dtype(x, weight)
        ctx.save_for_backward(weight)
        ctx.x_dtype = x.dtype
        return F.linear(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of x for `grad` (..., out)."""
        (weight,) = ctx.saved_tensors
        return (grad @ weight.to(grad.dtype)).to(ctx.x_dtype), None, None


class FrozenConv2d(torch.autograd.Function):
    """Conv2d whose weight and bias have no gradient: the backward pass needs the weight and x's layout, not x."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        dilation: tuple[int, ...],
        groups: int,
    ) -> Tensor:
        """(B, in, H, W) -> (B, out, H', W') in the compute dtype."""
        dtype = compute_dtype(x, weight)
        ctx.save_for_backward(weight)
        ctx.layout = x.size(), x.stride(), x.dtype
        ctx.geometry = stride, padding, dilation, False, [0, 0], groups
        bias = None if bias is None else bias.to(dtype)
        return F.conv2d(x.to(dtype), weight.to(dtype), bias, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of x for `grad` (B, out, H', W')."""
        (weight,) = ctx.saved_tensors
        size, stride, dtype = ctx.layout
        # Only shape and strides of this tensor are looked at; its memory is never touched.
        layout = torch.empty_strided(size, stride, dtype=grad.dtype, device=grad.device)
        grad_x, _, _ = aten.convolution_backward(
            grad, layout, weight.to(grad.dtype), None, *ctx.geometry, (True, False, False)
        )
        return grad_x.to(dtype), *[None] * 6
