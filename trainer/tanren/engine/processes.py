"""One process or many: which device, who am I, and the average over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import Tensor

from ..options.training import TrainingOptions

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """The processes of this run, as `accelerate launch`, `torchrun` or plain `python` started them."""

    device: torch.device
    index: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """True for the only process that writes."""
        return self.index == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one message per dtype."""
        if self.count == 1 or not tensors:
            return
        # A set's order differs from process to process, and all must send the same message first.
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            same = [tensor for tensor in tensors if tensor.dtype is dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in same])
            torch.distributed.all_reduce(flat)
            flat /= self.count
            torch._foreach_copy_(same, [part.view_as(t) for part, t in zip(_split(flat, same), same, strict=True)])

    def wait(self) -> None:
        """Return when every process is here."""
        if self.count > 1:
            torch.distributed.barrier()

    def from_main(self, value: Value) -> Value:
        """The main process's value, in every process."""
        if self.count == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def agree(self, words: set[str]) -> set[str]:
        """The union of everybody's words, the same in every process."""
        if self.count == 1:
            return words
        heard: list[set[str]] = [set() for _ in range(self.count)]
        torch.distributed.all_gather_object(heard, words)
        return set().union(*heard)


def start_processes(training: TrainingOptions) -> Processes:
    """Join the process group that the launcher prepared, if any, and take this process's device."""
    handlers = []
    if training.ddp_timeout:
        handlers.append(InitProcessGroupKwargs(timeout=timedelta(minutes=training.ddp_timeout)))
    # Precision is ours; what accelerate's own configuration says about it can only fail here.
    accelerator = Accelerator(mixed_precision="no", kwargs_handlers=handlers)
    return Processes(accelerator.device, accelerator.process_index, accelerator.num_processes)


def _split(flat: Tensor, like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return flat.split([tensor.numel() for tensor in like])
