"""A run: everything the loop needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.batch import Batch
from ..data.counting import Counts
from ..data.dataset import BucketDataset
from ..networks.base import TrainedNetwork
from ..objectives.denoising import Denoising
from .position import Position
from .precision import Precision
from .processes import Processes

if TYPE_CHECKING:
    import torch

    from .previews import Previews


@dataclass
class Run:
    """What is trained, on what, how, and for how long.

    Args:
        dataset: batches of each epoch.
        objective: batch to loss.
        network: what learns.
        optimizer, scheduler: how it learns.
        set_mode: switches schedule-free optimizers between "train" and "eval".
        counts: lengths.
        accumulation: micro-batches per update.
        previews: sample pictures, or None.
        step_rates: learning rates by group name, now: plain and, for D-adaptation kinds, times d.
        start: where to begin.
    """

    dataset: BucketDataset
    objective: Denoising
    network: TrainedNetwork
    optimizer: torch.optim.Optimizer
    scheduler: Any
    set_mode: Callable[[str], None]
    counts: Counts
    accumulation: int
    precision: Precision
    processes: Processes
    seed: int
    previews: Previews | None
    step_rates: Callable[[], tuple[dict[str, float], dict[str, float]]]
    start: Position

    def groups(self, position: Position) -> Iterator[list[Any]]:
        """Micro-batches of each further update of the current epoch; the last group may be shorter."""
        batches = self.dataset.loader(
            epoch=position.epoch,
            start_batch=position.batch,
            process_index=self.processes.index,
            num_processes=self.processes.count,
            prepare=Prepare(self.objective.inputs, position, self.accumulation),
        )
        group: list[Any] = []
        for inputs in batches:
            group.append(inputs)
            if len(group) == self.accumulation:
                yield group
                group = []
        if group:
            yield group


@dataclass(frozen=True)
class Prepare:
    """Turns a loaded batch into an objective's inputs, in a loader's worker.

    Args:
        inputs: the objective's drawing part, which holds no model.
        position: where the epoch is entered.
        accumulation: micro-batches per update.
    """

    inputs: Callable[[Batch, int], Any]
    position: Position
    accumulation: int

    def __call__(self, batch: Batch, index: int) -> Any:
        """Inputs of the batch that this process sees as number `index` of the epoch."""
        return self.inputs(batch, self.position.step + (index - self.position.batch) // self.accumulation)
