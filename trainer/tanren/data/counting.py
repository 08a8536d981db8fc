"""How many batches, steps and epochs a run has; `plan` and the trainer ask the same function."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Counts:
    """Lengths of a run.

    Args:
        batches_per_epoch: over all processes.
        batches_per_process: what one process sees in an epoch; short processes start again at the front.
        steps_per_epoch: optimizer updates.
        max_train_steps: optimizer updates of the whole run.
        num_epochs: epochs begun, the last one perhaps cut short.
    """

    batches_per_epoch: int
    batches_per_process: int
    steps_per_epoch: int
    max_train_steps: int
    num_epochs: int


def count_steps(
    batches: int, *, max_train_steps: int, max_train_epochs: int | None, accumulation: int = 1, processes: int = 1
) -> Counts:
    """Lengths of a run of `batches` batches an epoch; `max_train_epochs` wins over `max_train_steps`."""
    per_process = ceil(batches / processes)
    steps_per_epoch = ceil(per_process / accumulation)
    steps = max_train_epochs * steps_per_epoch if max_train_epochs else max_train_steps
    return Counts(batches, per_process, steps_per_epoch, steps, ceil(steps / steps_per_epoch))
