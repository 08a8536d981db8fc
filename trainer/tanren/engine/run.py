"""A run: everything the loop needs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch

from ..data.batch import Batch
from ..data.counting import Counts
from ..data.dataset import BucketDataset
from ..networks.base import TrainedNetwork
from ..objectives.denoising import Denoising
from .averages import FiniteWatch, LossAverage
from .learner import Learner
from .position import Position
from .precision import Precision
from .previews import Previews
from .processes import Processes


@dataclass
class Run:
    """What is trained, on what, how, and for how long.

    Args:
        dataset: batches of each epoch.
        objective: batch to loss.
        network: what learns.
        learner: how it learns.
        scaler: of the loss; does nothing unless float16 computes.
        average, watch: counters that a resumed run goes on with.
        counts: lengths.
        accumulation: micro-batches per update.
        precision, processes, seed: as chosen.
        previews: sample pictures, or None.
        start: where to begin.
    """

    dataset: BucketDataset
    objective: Denoising
    network: TrainedNetwork
    learner: Learner
    scaler: torch.amp.GradScaler
    average: LossAverage
    watch: FiniteWatch
    counts: Counts
    accumulation: int
    precision: Precision
    processes: Processes
    seed: int
    previews: Previews | None
    start: Position

    def groups(self, position: Position) -> Generator[list[Any], None, None]:
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
