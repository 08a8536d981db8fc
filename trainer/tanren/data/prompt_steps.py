"""The micro-batches of a run that has no pictures: each is a number, and everything else is drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PromptSteps:
    """Numbers for an objective that draws its own inputs.

    Args:
        batches_per_process: length of the run in micro-batches.
    """

    batches_per_process: int

    def loader(
        self,
        *,
        epoch: int,
        start_batch: int,
        process_index: int,
        num_processes: int,
        prepare: Callable[[int, int], Any],
    ) -> Iterator[Any]:
        """What `prepare` makes of the further micro-batches of this process."""
        first = epoch * self.batches_per_process
        for place in range(start_batch, self.batches_per_process):
            yield prepare((first + place) * num_processes + process_index, place)

    def validation_batches(self) -> list[Any]:
        """None: nothing is held out."""
        return []

    def load(self, plan: Any, step: int) -> Any:
        """Never asked for."""
        raise AssertionError("there is no validation without pictures")
