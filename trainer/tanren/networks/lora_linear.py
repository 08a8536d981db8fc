"""A low-rank change on top of a frozen Linear, as one autograd node; `lora_layer.py` says why."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.frozen import compute_dtype
from ..models.gated_gelu import gated_gelu, gated_gelu_backward


class LoraLinear(torch.autograd.Function):
    """A frozen Linear and its low-rank change.

    x (..., in), weight (out, in), bias (out,) or None, down (rank, in), up (out, rank), gain broadcastable to
    (..., rank) or None. Gradients for x, down and up only. With `gated`, x (..., 2 in) is what a gated GELU is still to
    be taken of; the node takes it, keeps x and takes it again in the backward pass, which saves (..., in).
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
        gated: bool,
    ) -> Tensor:
        """Return (..., out) in the compute dtype."""
        dtype = compute_dtype(x, weight)
        kept = x.reshape(-1, x.shape[-1]).to(dtype)
        rows = gated_gelu(kept) if gated else kept
        bias = None if bias is None else bias.to(dtype)
        down_cast, up_cast = down.to(dtype), up.to(dtype)
        y = F.linear(rows, weight.to(dtype), bias)
        hidden = rows @ down_cast.t()
        if gain is not None:
            gain = gain.expand(*x.shape[:-1], down.shape[0]).reshape(hidden.shape).to(dtype)
            hidden = hidden * gain
        y.addmm_(hidden, up_cast.t(), alpha=scale)
        ctx.save_for_backward(kept, weight, down_cast, up_cast, hidden, gain)
        ctx.scale, ctx.shape, ctx.gated = scale, x.shape, gated
        ctx.x_dtype, ctx.down_dtype, ctx.up_dtype = x.dtype, down.dtype, up.dtype
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, down and up for `grad` (..., out)."""
        kept, weight, down, up, hidden, gain = ctx.saved_tensors
        rows, scale = gated_gelu(kept) if ctx.gated else kept, ctx.scale
        grad = grad.reshape(-1, grad.shape[-1])
        grad_hidden = grad @ up
        if gain is not None:
            grad_hidden = grad_hidden * gain
        grad_x = grad_down = grad_up = None
        if ctx.needs_input_grad[0]:
            grad_x = (grad @ weight.to(grad.dtype)).addmm_(grad_hidden, down, alpha=scale)
            grad_x = gated_gelu_backward(grad_x, kept) if ctx.gated else grad_x
            grad_x = grad_x.view(ctx.shape).to(ctx.x_dtype)
        # With beta=0 the first argument gives only its shape: the scale costs no kernel of its own.
        if ctx.needs_input_grad[3]:
            grad_down = torch.addmm(down, grad_hidden.t(), rows, beta=0, alpha=scale).to(ctx.down_dtype)
        if ctx.needs_input_grad[4]:
            grad_up = torch.addmm(up, grad.t(), hidden, beta=0, alpha=scale).to(ctx.up_dtype)
        return grad_x, None, None, grad_down, grad_up, None, None, None
