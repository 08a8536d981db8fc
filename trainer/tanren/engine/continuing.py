"""A run's state: taken at the border between two updates, and put back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..checkpoint.choosing import choose_state
from ..checkpoint.describe import Session
from ..checkpoint.fingerprint import Fingerprint
from ..checkpoint.rng import capture_streams, restore_streams
from ..checkpoint.state import TrainState, load_state, restore_optimizer, save_state
from ..data.counting import Counts
from ..errors import UsageError
from ..events import Report
from ..networks.base import TrainedNetwork
from ..options.saving import ResumeOptions
from ..options.training import TrainingOptions
from .averages import FiniteWatch, LossAverage
from .learner import Learner
from .lr_schedules import FactorSchedule
from .position import Position


class Continuation:
    """Everything of a run that a state holds.

    Args:
        network, learner: what learns and how.
        scaler: of the loss.
        average, watch: counters.
        session, fingerprint: what the run is.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        learner: Learner,
        scaler: torch.amp.GradScaler,
        average: LossAverage,
        watch: FiniteWatch,
        session: Session,
        fingerprint: Fingerprint,
    ) -> None:
        self.network, self.learner, self.scaler = network, learner, scaler
        self.average, self.watch = average, watch
        self.session, self.fingerprint = session, fingerprint
        self.accepted_changes: list[str] = []
        self._processes_before = fingerprint.processes

    def save(self, folder: Path, position: Position) -> None:
        """Write the state of this moment; changes nothing."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        save_state(
            folder,
            TrainState(
                step=position.step,
                epoch=position.epoch,
                batch=position.batch,
                weights=self.network.tensors(),
                optimizer=self.learner.optimizer.state_dict(),
                scheduler=self.learner.scheduler.state_dict(),
                scaler=self.scaler.state_dict() if self.scaler.is_enabled() else None,
                streams=capture_streams(),
                session=self.session,
                fingerprint=self.fingerprint,
                counters={"average": self.average.state(), "watch": self.watch.state()},
                accepted_changes=self.accepted_changes,
            ),
        )

    def restore(self, path: Path, allow_changes: Sequence[str], report: Report) -> Position:
        """Put back a saved state and return where it stands.

        Raises:
            ResumeError: damaged, or of a run that differs.
        """
        folder, lines = choose_state(path)
        state, accepted = load_state(folder, self.fingerprint, allow_changes)
        for line in [*lines, *(f"accepted change: {one}" for one in accepted)]:
            report.warning(line)
        self.network.load_tensors(state.weights)
        restore_optimizer(self.learner.optimizer, state.optimizer)
        self.learner.scheduler.load_state_dict(state.scheduler)
        if state.scaler is not None and self.scaler.is_enabled():
            self.scaler.load_state_dict(state.scaler)
        restore_streams(state.streams, str(folder))
        self.average.restore(state.counters["average"])
        self.watch.restore(state.counters["watch"])
        self.session, self.accepted_changes = state.session, state.accepted_changes
        self._processes_before = state.fingerprint.processes
        report.note(f"resumed from {folder.name}: step {state.step}, epoch {state.epoch + 1}")
        return Position(state.step, state.epoch, state.batch)

    def recounted(self, position: Position, counts: Counts, training: TrainingOptions, report: Report) -> Position:
        """Where a run stands that goes on with another number of processes than the one that saved its state.

        An update then takes another number of batches. Of a length in epochs the part of the data that was seen stays,
        and steps are counted as the processes of now make them; of a length in steps the steps stay.
        """
        before, now = self._processes_before, self.fingerprint.processes
        if before == now:
            return position
        found = recounted(position, before, now, counts, training)
        schedule = self.learner.scheduler
        if isinstance(schedule, FactorSchedule):
            schedule.load_state_dict({"count": found.step * now})
        report.warning(
            f"The state was saved by {before} processes, {now} train now: an update takes {now} batches, not {before}; "
            f"step {position.step} counts as step {found.step}; the result is that of neither number alone."
        )
        return found


def recounted(position: Position, before: int, now: int, counts: Counts, training: TrainingOptions) -> Position:
    """A position of a run of `before` processes as one of `now`, for which the counts are."""
    accumulation = training.gradient_accumulation_steps
    if not training.max_train_epochs:
        epoch, within = divmod(position.step, counts.steps_per_epoch)
        return Position(position.step, epoch, within * accumulation)
    within = min(position.batch * before // now // accumulation, counts.steps_per_epoch)
    step = position.epoch * counts.steps_per_epoch + within
    return Position(step, position.epoch, min(within * accumulation, counts.batches_per_process))


def start_position(options: ResumeOptions, counts: Counts, accumulation: int) -> Position:
    """Where a run begins that resumes nothing: at the start, or as `--initial_epoch` and `--initial_step` say.

    Without `--skip_until_initial_step` only the epochs are counted from there, as in sd-scripts; the steps begin at 0.
    """
    step = options.initial_step
    if step is None and options.initial_epoch is not None:
        step = (options.initial_epoch - 1) * counts.steps_per_epoch
    if not step:
        return Position()
    if step >= counts.max_train_steps:
        raise UsageError(
            where="--initial_step",
            what=f"{step} is not before the end of the run, which has {counts.max_train_steps} steps.",
            fix="Give a smaller one, or a longer run.",
        )
    epoch, within = divmod(step, counts.steps_per_epoch)
    if options.skip_until_initial_step:
        return Position(step, epoch, within * accumulation)
    return Position(0, epoch, 0)
