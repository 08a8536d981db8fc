"""Loss on pictures that are kept out of training, at fixed timesteps and with fixed noise."""

from __future__ import annotations

from ..events import Report
from ..options.dataset import DatasetOptions
from .position import Position
from .run import Run


class Validation:
    """Runs the validation batches when they are due, shared out among the processes, and tells their mean loss."""

    def __init__(self, run: Run, options: DatasetOptions, report: Report) -> None:
        self.run, self.options, self.report = run, options, report
        self.batches = run.dataset.validation_batches()
        if options.max_validation_steps is not None:
            self.batches = self.batches[: options.max_validation_steps]

    def after_step(self, position: Position, train_average: float) -> None:
        """Validate when `--validate_every_n_steps` says so."""
        every = self.options.validate_every_n_steps
        if every and position.step % every == 0:
            self._validate("step", position, train_average)

    def after_epoch(self, position: Position, train_average: float) -> None:
        """Validate after each epoch, or each n-th, unless it is done by steps."""
        if self.options.validate_every_n_steps and not self.options.validate_every_n_epochs:
            return
        if position.epoch % (self.options.validate_every_n_epochs or 1) == 0:
            self._validate("epoch", position, train_average)

    def _validate(self, every: str, position: Position, train_average: float) -> None:
        if not self.batches:
            return
        run = self.run
        losses = []
        mine = run.processes.share(self.batches)
        with self.report.phase("validate", len(mine)) as phase, run.learner.pause():
            for plan in mine:
                batch = run.dataset.load(plan, position.step)
                with run.precision.autocast(run.network.needs_autocast):
                    losses.append(float(run.objective.validation_loss(batch)))
                phase.advance()
        run.processes.wait()
        average = run.processes.average_of(losses)
        self.report.tell("validation", step=position.step, every=every, average=average, train_average=train_average)
