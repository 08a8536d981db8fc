"""A low-rank change on top of a frozen convolution, as one autograd node; `lora_layer.py` says why.

Up is always 1×1, so it is a matrix product over pixels. Memory format is part of the contract: a result or gradient in
another format than the frozen convolution's would slow down everything that follows.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.frozen import compute_dtype
from .lora_linear import LoraLinear

ONE_BY_ONE: dict[str, Any] = {
    "bias_sizes": None,
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "transposed": False,
    "output_padding": (0, 0),
    "groups": 1,
}


def lora_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    down: Tensor,
    up: Tensor,
    gain: Tensor | None,
    scale: float,
    geometry: dict[str, Any],
) -> Tensor:
    """Frozen convolution and its change; 1×1 kernels become matrix products over pixels.

    Args:
        x: (B, in, H, W).
        weight, bias: frozen, (out, in, kh, kw) and (out,).
        down, up: (rank, in, kh, kw) and (out, rank, 1, 1).
        gain: broadcastable to (B, rank, H', W'), or None.
        geometry: stride, padding and dilation of the frozen convolution.
    """
    if weight.shape[2:] != (1, 1) or any(stride != 1 for stride in geometry["stride"]) or any(geometry["padding"]):
        return LoraConv2d.apply(x, weight, bias, down, up, gain, scale, geometry)
    flat = weight.flatten(1), bias, down.flatten(1), up.flatten(1)
    if x.is_contiguous():
        columns = None if gain is None else gain.expand(-1, -1, *x.shape[2:]).flatten(2)
        return LoraPixels.apply(x, *flat, columns, scale)
    rows = None if gain is None else gain.permute(0, 2, 3, 1)
    return LoraLinear.apply(x.permute(0, 2, 3, 1), *flat, rows, scale, False).permute(0, 3, 1, 2)


class LoraPixels(torch.autograd.Function):
    """A frozen 1×1 convolution and its change, on contiguous x (B, in, H, W).

    weight (out, in), down (rank, in), up (out, rank), gain broadcastable to (B, rank, H·W) or None.
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
        """Return contiguous (B, out, H, W) in the compute dtype."""
        dtype = compute_dtype(x, weight)
        columns = x.to(dtype).flatten(2)
        down_cast, up_cast = down.to(dtype), up.to(dtype)
        y = _product(weight.to(dtype), columns)
        if bias is not None:
            y += bias.to(dtype).view(-1, 1)
        hidden = _product(down_cast, columns)
        if gain is not None:
            gain = gain.to(dtype)
            hidden = hidden * gain
        y.baddbmm_(_repeated(up_cast, y), hidden, alpha=scale)
        ctx.save_for_backward(columns, weight, down_cast, up_cast, hidden, gain)
        ctx.scale, ctx.shape = scale, x.shape
        ctx.x_dtype, ctx.down_dtype, ctx.up_dtype = x.dtype, down.dtype, up.dtype
        return y.view(x.shape[0], -1, *x.shape[2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, down and up for `grad` (B, out, H, W)."""
        columns, weight, down, up, hidden, gain = ctx.saved_tensors
        grad = grad.contiguous().flatten(2)
        grad_hidden = _product(up.t(), grad)
        if gain is not None:
            grad_hidden = grad_hidden * gain
        grad_x = grad_down = grad_up = None
        if ctx.needs_input_grad[0]:
            grad_x = _product(weight.to(grad.dtype).t(), grad)
            grad_x.baddbmm_(_repeated(down.t(), grad), grad_hidden, alpha=ctx.scale)
            grad_x = grad_x.view(ctx.shape).to(ctx.x_dtype)
        if ctx.needs_input_grad[3]:
            grad_down = (torch.bmm(grad_hidden, columns.mT).sum(0) * ctx.scale).to(ctx.down_dtype)
        if ctx.needs_input_grad[4]:
            grad_up = (torch.bmm(grad, hidden.mT).sum(0) * ctx.scale).to(ctx.up_dtype)
        return grad_x, None, None, grad_down, grad_up, None, None


def _product(matrix: Tensor, columns: Tensor) -> Tensor:
    """matrix (a, b) times each of columns (B, b, P), contiguous (B, a, P)."""
    return torch.bmm(_repeated(matrix, columns), columns)


def _repeated(matrix: Tensor, columns: Tensor) -> Tensor:
    return matrix.expand(columns.shape[0], -1, -1)


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
        _add_one_by_one(y, hidden, up_cast, scale)
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


def _add_one_by_one(y: Tensor, hidden: Tensor, up: Tensor, scale: float) -> None:
    """y += scale · conv1×1(hidden, up) in place, without a second tensor as large as y; either memory format."""
    up = up.flatten(1)
    if y.is_contiguous():
        columns = hidden.contiguous().flatten(2)
        y.view(*y.shape[:2], -1).baddbmm_(up.expand(y.shape[0], -1, -1), columns, alpha=scale)
    else:
        rows = hidden.permute(0, 2, 3, 1).reshape(-1, hidden.shape[1])
        y.permute(0, 2, 3, 1).view(-1, y.shape[1]).addmm_(rows, up.t(), alpha=scale)
