"""A run: everything the loop needs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.batch import Batch
from ..data.counting import Counts
from ..networks.base import TrainedNetwork
from .averages import FiniteWatch, LossAverage
from .learner import Learner
from .position import Position
from .precision import Precision
from .previews import Previews
from .processes import Processes


class Batches(Protocol):
    """Where micro-batches come from: pictures, or nothing but numbers."""

    def loader(
        self,
        *,
        epoch: int,
        start_batch: int,
        process_index: int,
        num_processes: int,
        prepare: Callable[[Any, int], Any],
    ) -> Iterator[Any]:
        """What `prepare` makes of the further micro-batches of this process, given each and its place in the epoch."""

    def validation_batches(self) -> list[Any]:
        """What is held out."""

    def load(self, plan: Any, step: int) -> Any:
        """One of those, read."""


class Learned(Protocol):
    """What is learned: draws inputs without the model, and turns them into a loss."""

    @property
    def inputs(self) -> Callable[[Any, int], Any]:
        """Inputs of a micro-batch, given the number of updates before it."""

    def loss(self, inputs: Any) -> Any:
        """See `step.Objective`."""

    def validation_loss(self, batch: Any) -> Tensor:
        """Mean loss of a batch that is held out."""


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
        facts: what the inputs of a micro-batch were, for the logs, by the names they have there.
    """

    dataset: Batches
    objective: Learned
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
    facts: Callable[[Any], Mapping[str, float]] = field(default=lambda inputs: {})

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
