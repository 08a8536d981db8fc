"""The processes of one run: which device, who am I, and what they tell each other while they train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from .board import NO_BOARD, Board

Value = TypeVar("Value")
# What processes can agree on after every update.
WORDS = ("stop", "save", "sample", "retry", "state")
AS_LONG_AS_IT_TAKES = timedelta(days=7)


class LostProcesses(Exception):
    """A message did not reach every process: one of them is gone, or does not come."""


@dataclass(frozen=True)
class Sharing:
    """How the frozen U-Net is shared out among the processes.

    Args:
        lets_go: a block's other parts are given up after the forward pass and fetched again for the backward pass.
        rests_in_main_memory: the own part is on the device only while it is used.
    """

    lets_go: bool = True
    rests_in_main_memory: bool = False


def _nothing() -> None:
    """A single process hears nobody."""


@dataclass(frozen=True)
class Processes:
    """The processes of this run, as `accelerate launch`, `torchrun` or plain `python` started them.

    Numbers for the device travel through the group of the launcher; everything else goes from host to host, so that no
    device is waited for.

    Args:
        device: of this process.
        index, count: which one this is, and of how many; number 0 is the main one.
        hosts: group for messages between hosts; None is the launcher's group, which reaches them on CPUs.
        patience: how long to wait for a process that lives and is not here yet.
        board: where processes leave what they have to say.
        hear: passes on what the others have said; the main process listens.
        sharing: set when each holds a part of the U-Net, which all have to use together, then.
    """

    device: torch.device
    index: int = 0
    count: int = 1
    hosts: dist.ProcessGroup | None = None
    patience: timedelta = AS_LONG_AS_IT_TAKES
    board: Board = field(default=NO_BOARD, repr=False)
    hear: Callable[[], None] = field(default=_nothing, repr=False)
    sharing: Sharing | None = None

    @property
    def is_main(self) -> bool:
        """True for the only process that writes."""
        return self.index == 0

    def share(self, items: Sequence[Value]) -> Sequence[Value]:
        """What this process does of work that needs the U-Net: every count-th item, or all with a shared U-Net."""
        return items if self.sharing else items[self.index :: self.count]

    def average(self, flat: Tensor) -> None:
        """Replace the tensor by its mean over the processes."""
        if self.count > 1:
            with self._talking():
                dist.all_reduce(flat)
            flat /= self.count

    def average_of(self, values: Sequence[float]) -> float:
        """The mean of the numbers of all processes, which need not have equally many; NaN where there are none."""
        sums = torch.tensor([sum(values), len(values)], dtype=torch.float64)
        if self.count > 1:
            with self._talking():
                dist.all_reduce(sums, group=self.hosts)
        return float(sums[0] / sums[1])

    def wait(self) -> None:
        """Return when every process is here, however long that takes."""
        if self.count == 1:
            return
        with self._talking():
            dist.monitored_barrier(group=self.hosts, timeout=self.patience, wait_all_ranks=True)
        self.hear()

    def from_main(self, value: Value) -> Value:
        """The main process's value, in every process."""
        if self.count == 1:
            return value
        box = [value]
        with self._talking():
            dist.broadcast_object_list(box, src=0, group=self.hosts)
        return box[0]

    def gather(self, value: Value) -> list[Value]:
        """Everybody's value, in the order of the processes."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        with self._talking():
            dist.all_gather_object(values, value, group=self.hosts)
        return values

    def agree(self, words: set[str]) -> set[str]:
        """The union of everybody's words, of those in WORDS; the same in every process."""
        if self.count == 1:
            return words
        said = torch.tensor([word in words for word in WORDS], dtype=torch.uint8)
        heard = self.any_of(said)
        self.hear()
        return {word for word, is_said in zip(WORDS, heard.tolist(), strict=True) if is_said}

    def any_of(self, flags: Tensor) -> Tensor:
        """Flags, uint8 on the CPU, that are set in any process."""
        if self.count > 1:
            with self._talking():
                dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.hosts)
        return flags

    @contextmanager
    def _talking(self) -> Iterator[None]:
        self.board.arrivals += 1
        try:
            yield
        except RuntimeError as error:
            # Every kind of a failed message is one; which process is the cause is found out where the run ends.
            raise LostProcesses(str(error)) from error
