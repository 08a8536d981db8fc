"""The gated activation of the feed-forward layers: x = [value, gate] -> value · GELU(gate).

Source: Shazeer 2020, arXiv:2002.05202, "GEGLU".
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def gated_gelu(x: Tensor) -> Tensor:
    """(..., 2 d) -> (..., d)."""
    value, gate = x.chunk(2, dim=-1)
    return F.gelu(gate).mul_(value)


def gated_gelu_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Gradient of x (..., 2 d) for `grad` (..., d); both halves are written into one tensor."""
    value, gate = x.chunk(2, dim=-1)
    grad_x = torch.empty_like(x)
    of_value, of_gate = grad_x.chunk(2, dim=-1)
    torch.mul(grad, F.gelu(gate), out=of_value)
    torch.ops.aten.gelu_backward.grad_input(grad * value, gate, grad_input=of_gate)
    return grad_x


class GatedGelu(torch.autograd.Function):
    """The activation as one node that keeps x only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """(..., 2 d) -> (..., d)."""
        ctx.save_for_backward(x)
        return gated_gelu(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """(..., 2 d) for `grad` (..., d)."""
        return gated_gelu_backward(grad, *ctx.saved_tensors)
