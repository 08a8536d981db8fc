"""When files are written during a run, and what happens when the disk says no.

Results go to `--output_dir` under kohya's names. A job also gets automatic states in its `checkpoints` folder, every
ten minutes and after each epoch, the last two kept, so that a killed run loses minutes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from ..checkpoint import names
from ..errors import StorageError
from ..events import Report
from ..folders import faults_of, remove_folder
from ..options.saving import SavingOptions
from .position import Position
from .processes import Processes

SECONDS_BETWEEN_STATES = 600.0
RETRY_AFTER_SECONDS = (5.0, 30.0, 120.0)
STATES_KEPT = 2

WriteWeights = Callable[[Path, Position], None]
WriteState = Callable[[Path, Position], None]


class Saver:
    """Writes weights and states when they are due and removes the ones the keep-last rules outdate.

    Args:
        options: names and rules.
        num_epochs: of the whole run.
        write_weights: puts the network's present weights at a path.
        write_state: puts everything resuming needs into a folder of that name.
        processes: only the main one writes; the others wait.
        job_dir: folder of the job, or None.
    """

    def __init__(
        self,
        options: SavingOptions,
        num_epochs: int,
        *,
        write_weights: WriteWeights,
        write_state: WriteState,
        processes: Processes,
        report: Report,
        job_dir: Path | None = None,
    ) -> None:
        self.options, self.num_epochs, self.processes, self.report = options, num_epochs, processes, report
        self.folder = Path(options.output_dir or ".")
        self.last_good: str | None = None
        self._write_weights, self._write_state = write_weights, write_state
        self._job_dir = job_dir
        self._state_due = time.monotonic() + SECONDS_BETWEEN_STATES
        self._automatic = _finished_states(job_dir)
        self._retries = list(RETRY_AFTER_SECONDS)
        self._retry_at: float | None = None

    def after_step(self, position: Position, *, settled: Callable[[], None]) -> None:
        """Save what is due after an update; `settled` reads back all numbers first, so that the state holds them."""
        if names.saves_after_step(self.options, position.step):
            settled()
            self._save(position, step=position.step)

    def due(self) -> set[str]:
        """What is due by the clock: "retry" of a save that failed, and an automatic "state".

        The clocks of the processes differ, so they agree on it before one of them acts.
        """
        now = time.monotonic()
        words = {"retry"} if self._retry_at is not None and now >= self._retry_at else set()
        return words | ({"state"} if self._job_dir is not None and now >= self._state_due else set())

    def after_epoch(self, position: Position) -> None:
        """Save what is due after an epoch; `position.epoch` is the number of completed epochs."""
        if names.saves_after_epoch(self.options, position.epoch, self.num_epochs):
            self._save(position, epoch=position.epoch)
        if self._job_dir is not None and position.epoch < self.num_epochs:
            self.save_automatic_state(position)

    def save_now(self, position: Position) -> None:
        """Save because somebody asked."""
        self._save(position, step=position.step)

    def save_to_resume(self, position: Position) -> Path:
        """Weights and state of this moment, whatever the options say; returns the state's folder."""
        self._as_main(lambda: self._weights(names.weights_file(self.options, step=position.step), position))
        state = self._state_of_the_stop(position)
        self._as_main(lambda: self._state(state, position))
        return state

    def _state_of_the_stop(self, position: Position) -> Path:
        """In a job where its next attempt looks, else under kohya's name."""
        if self._job_dir is None:
            return self.folder / names.state_name(self.options, step=position.step)
        return self._automatic_folder(self._job_dir, position)

    def finish(self, position: Position, cut_short: Position | None = None) -> None:
        """The final file, and its state when asked for; waits for a full disk before giving up.

        Args:
            position: after the last epoch, as the file tells.
            cut_short: where the last update left an epoch unfinished; a run that is made longer goes on from there.
        """
        name = names.weights_file(self.options)
        self._as_main(lambda: self._patiently(lambda: self._weights(name, position), name, position))
        if names.saves_state_at_end(self.options):
            state = self.folder / names.state_name(self.options)
            self._as_main(lambda: self._state(state, cut_short or position))

    def _save(self, position: Position, *, step: int | None = None, epoch: int | None = None) -> None:
        self._as_main(lambda: self._save_or_retry(position, step, epoch))

    def _save_or_retry(self, position: Position, step: int | None, epoch: int | None) -> None:
        try:
            self._weights(names.weights_file(self.options, step=step, epoch=epoch), position)
            if self.options.save_state:
                state = self.folder / names.state_name(self.options, step=step, epoch=epoch)
                self._state(state, position)
        except StorageError as error:
            self._plan_retry(error)
            return
        self._retry_at, self._retries = None, list(RETRY_AFTER_SECONDS)
        self._remove_outdated(step, epoch)

    def _plan_retry(self, error: StorageError) -> None:
        if not self._retries:
            raise error
        pause = self._retries.pop(0)
        self._retry_at = time.monotonic() + pause
        self.report.warning(f"Saving failed and is tried again in {pause:.0f} s, training goes on. {error}")

    def _patiently(self, save: Callable[[], None], name: str, position: Position) -> None:
        for pause in (*RETRY_AFTER_SECONDS, None):
            try:
                save()
                return
            except StorageError as error:
                if pause is not None:
                    self.report.warning(f"The result could not be saved; next try in {pause:.0f} s. {error}")
                    time.sleep(pause)
                elif self._job_dir is None:
                    raise
        assert self._job_dir is not None
        fallback = self._job_dir / name
        self._write_weights(fallback, position)
        self.report.warning(f"{self.folder} cannot be written; the result is {fallback}.")

    def _weights(self, name: str, position: Position) -> None:
        path = self.folder / name
        self._write_weights(path, position)
        self.last_good = str(path)
        self.report.tell("saved", file=str(path), step=position.step, epoch=position.epoch)

    def _state(self, folder: Path, position: Position) -> None:
        """A state that was asked for, as opposed to the automatic ones, which come and go."""
        self._write_state(folder, position)
        self.report.tell("saved_state", file=str(folder), step=position.step, epoch=position.epoch)

    def _remove_outdated(self, step: int | None, epoch: int | None) -> None:
        for state, name_of in ((False, names.weights_file), (True, names.state_name)):
            if step is not None:
                outdated = names.outdated_step(self.options, step, state=state)
                old = None if outdated is None else name_of(self.options, step=outdated)
            else:
                assert epoch is not None
                outdated = names.outdated_epoch(self.options, epoch, self.num_epochs, state=state)
                old = None if outdated is None else name_of(self.options, epoch=outdated)
            if old is not None:
                _remove(self.folder / old)
                if not state and "/" in old:
                    # What somebody else put beside the file stays.
                    with contextlib.suppress(OSError):
                        (self.folder / old).parent.rmdir()

    def save_automatic_state(self, position: Position) -> None:
        """What a job goes on from when it is killed."""
        self._state_due = time.monotonic() + SECONDS_BETWEEN_STATES
        assert self._job_dir is not None
        folder = self._automatic_folder(self._job_dir, position)
        self._as_main(lambda: self._automatic_state(folder, position))

    def _automatic_folder(self, job_dir: Path, position: Position) -> Path:
        return job_dir / "checkpoints" / f"step-{position.step:08d}"

    def _automatic_state(self, folder: Path, position: Position) -> None:
        if folder in self._automatic:
            return
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._write_state(folder, position)
        except StorageError as error:
            self.report.warning(f"The automatic state was not saved; the next one is due in ten minutes. {error}")
            return
        self._automatic.append(folder)
        while len(self._automatic) > STATES_KEPT:
            _remove(self._automatic.pop(0))

    def _as_main(self, act: Callable[[], None]) -> None:
        if self.processes.is_main:
            act()
        self.processes.wait()


def _finished_states(job_dir: Path | None) -> list[Path]:
    """Automatic states that an earlier attempt of the job left, oldest first."""
    if job_dir is None or not (job_dir / "checkpoints").is_dir():
        return []
    return sorted(path for path in (job_dir / "checkpoints").glob("step-*") if not faults_of(path, hashes=False))


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_folder(path)
    else:
        path.unlink(missing_ok=True)
