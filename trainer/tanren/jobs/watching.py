"""Patience with trainers that were asked to stop: a grace to save in, then an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .derived import stop_wish
from .ending import end_attempt, is_left, is_ours
from .folder import AT_ONCE, CONTROL, PROGRESS, STOP, read_object, read_runner

if TYPE_CHECKING:
    from .shelved import Job

GRACE_SECONDS = 60.0
# A step on a slow machine may take minutes, and only after it the trainer can save.
STEPS_OF_GRACE = 3
# Whoever pressed the button ends the trainer; this is for when that process died meanwhile.
AT_ONCE_SECONDS = 2.0
# After its result a trainer has nothing left to do but to let go of its memory.
EXIT_SECONDS = 60.0
ENDED = "ended"


class Patience:
    """Remembers since when each job is asked to stop, and ends those that take too long.

    Args:
        clock: seconds that never jump.
        end: how a job's attempt is ended.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, end: Callable[..., bool] = end_attempt) -> None:
        self._clock, self._end = clock, end
        self._since: dict[str, tuple[tuple[int, str], float]] = {}
        self._ending: dict[str, threading.Thread] = {}

    def look(self, job: Job) -> None:
        """Look at a job that a process is at work on."""
        look = job.look()
        has_result = look.code is not None or (look.state in ("completed", "stopped") and not look.is_unsaved)
        wish = ENDED if has_result else None
        wish = wish or stop_wish(read_object(job.folder / CONTROL), look.attempt)
        if wish is None or look.is_by_hand:
            self.forget(job.id)
            return
        seconds = self._seconds(job.id, (look.attempt, wish))
        patience = {STOP: grace_seconds(job.folder), AT_ONCE: AT_ONCE_SECONDS, ENDED: EXIT_SECONDS}[wish]
        if seconds >= patience:
            self._end_in_background(job, at_once=wish != STOP)

    def is_gone(self, job: Job) -> bool:
        """True when nothing is left of a job that nobody is at work on any more; its remains are ended on the way."""
        runner = read_runner(job.folder)
        if runner is None or not is_left(job.folder, runner):
            return True
        if is_ours(job.folder, runner) and self._seconds(job.id, (runner.attempt, ENDED)) < EXIT_SECONDS:
            return False
        self._end_in_background(job, at_once=True)
        return False

    def forget(self, job_id: str) -> None:
        """Nothing of the job runs any more, or nobody wants it to stop."""
        self._since.pop(job_id, None)

    def _seconds(self, job_id: str, wish: tuple[int, str]) -> float:
        now = self._clock()
        before, start = self._since.get(job_id, (wish, now))
        if before != wish:
            start = now
        self._since[job_id] = wish, start
        return now - start

    def _end_in_background(self, job: Job, *, at_once: bool) -> None:
        running = self._ending.get(job.id)
        if running is None or not running.is_alive():
            thread = threading.Thread(target=self._end, args=(job.folder,), kwargs={"at_once": at_once}, daemon=True)
            self._ending[job.id] = thread
            thread.start()


def grace_seconds(folder: Path) -> float:
    """How long a trainer that was asked to stop may take to save, before it is ended."""
    seconds = read_object(folder / PROGRESS).get("seconds")
    return max(GRACE_SECONDS, STEPS_OF_GRACE * seconds) if isinstance(seconds, (int, float)) else GRACE_SECONDS
