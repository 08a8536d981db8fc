"""Gradient checkpointing: what is needed to compute activations again in the backward pass, and where that waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Copying smaller ones costs more than their memory is worth.
SMALLEST = 2**20
Packed = tuple[torch.device, Tensor]


class InMainMemory:
    """Runs a block so that only its inputs are kept, and these in main memory until the backward pass wants them.

    Copies do not wait: they are made in the order of the device's other work.

    Args:
        pinned: in memory that a GPU reads by itself; for GPUs.
        smallest: bytes; smaller inputs stay on the device.
    """

    def __init__(self, *, pinned: bool, smallest: int = SMALLEST) -> None:
        self.pinned, self.smallest = pinned, smallest

    def __call__(self, block: Callable[..., Any], *inputs: Any) -> Any:
        """What the block answers."""
        # These hooks see the inputs alone: inside, checkpointing has its own.
        with torch.autograd.graph.saved_tensors_hooks(self._put_away, self._bring_back):
            return checkpoint(block, *inputs, use_reentrant=False)

    def _put_away(self, tensor: Tensor) -> Packed:
        if tensor.nbytes < self.smallest:
            return tensor.device, tensor
        copy = torch.empty_like(tensor, device="cpu", pin_memory=self.pinned)
        return tensor.device, copy.copy_(tensor, non_blocking=True)

    def _bring_back(self, packed: Packed) -> Tensor:
        device, tensor = packed
        return tensor.to(device, non_blocking=True)


def can_offload(device: torch.device) -> bool:
    """Whether there is a memory beside the main one to spare."""
    return device.type not in ("cpu", "meta")


def enable_gradient_checkpointing(
    unet: Any, text_encoders: Sequence[Any], run_block: Callable[..., Any] | None = None
) -> None:
    """Recompute activations in the backward pass instead of keeping them.

    Both libraries do so only in training mode; these models have no dropout that the mode would switch on.

    Args:
        run_block: for blocks of the U-Net, an `InMainMemory`; diffusers' own when not given.
    """
    unet.enable_gradient_checkpointing(run_block)
    unet.train()
    for encoder in text_encoders:
        # transformers renamed the call in 5; both recompute without re-entering autograd.
        if hasattr(encoder, "activation_checkpointing_enable"):
            encoder.activation_checkpointing_enable({"use_reentrant": False})
        else:
            encoder.gradient_checkpointing_enable({"use_reentrant": False})
        encoder.train()
