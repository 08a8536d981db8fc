"""Numbers of finished steps, read without making the device wait.

On a GPU the values are copied to pinned memory behind the step that made them and picked up when they have arrived, so
the console shows a step a moment late and the next step has long been queued.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from .step import StepTensors

MOST_IN_FLIGHT = 4


@dataclass(frozen=True)
class StepNumbers:
    """`StepTensors` as Python numbers, with the step they belong to."""

    step: int
    loss: float
    grad_norm: float
    finite: bool
    overflow: bool
    nan_latents: int
    keys_scaled: float | None
    mean_key_norm: float | None
    max_key_norm: float | None


class Readback:
    """A short queue of values on their way from the device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._waiting: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()

    def push(self, step: int, tensors: StepTensors) -> None:
        """Send the values of `step` on their way."""
        read = (tensors.loss, tensors.grad_norm, tensors.finite, tensors.overflow, tensors.nan_latents)
        values = [tensor.float() for tensor in read]
        if tensors.max_norm is not None:
            norm = tensors.max_norm
            values += [torch.as_tensor(v, device=self._device).float() for v in (norm.scaled, norm.mean, norm.maximum)]
        stacked = torch.stack(values).detach()
        if self._device.type != "cuda":
            self._waiting.append((step, stacked, None))
            return
        pinned = torch.empty_like(stacked, device="cpu", pin_memory=True)
        pinned.copy_(stacked, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._waiting.append((step, pinned, arrived))

    def arrived(self) -> list[StepNumbers]:
        """Values that are here; waits only when too many are under way."""
        numbers = []
        while self._waiting and (self._is_here(self._waiting[0][2]) or len(self._waiting) > MOST_IN_FLIGHT):
            numbers.append(self._take())
        return numbers

    def flush(self) -> list[StepNumbers]:
        """All values, waiting for them."""
        numbers = []
        while self._waiting:
            numbers.append(self._take())
        return numbers

    @staticmethod
    def _is_here(event: torch.cuda.Event | None) -> bool:
        return event is None or event.query()

    def _take(self) -> StepNumbers:
        step, tensor, event = self._waiting.popleft()
        if event is not None:
            event.synchronize()
        loss, norm, finite, overflow, nan_latents, *keys = tensor.tolist()
        scaled, mean, maximum = keys or (None, None, None)
        return StepNumbers(step, loss, norm, bool(finite), bool(overflow), int(nan_latents), scaled, mean, maximum)
