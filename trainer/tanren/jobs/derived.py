"""What state a job is in, derived from its files and its lock; nobody stores it, so no crash can leave it wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..locks import lock_holder
from .folder import (
    AT_ONCE,
    CONTROL,
    LOCK,
    PROGRESS,
    RESULT,
    STOP,
    Runner,
    has_checkpoint,
    read_object,
    read_runner,
)
from .process import Identity, is_alive

DRAFT, QUEUED, STARTING, RUNNING, STOPPING, STALLED = "draft", "queued", "starting", "running", "stopping", "stalled"
COMPLETED, STOPPED, FAILED, INTERRUPTED = "completed", "stopped", "failed", "interrupted"
STARTING_SECONDS, STALLED_SECONDS = 60.0, 300.0
DONE_CODE, STOPPED_CODE = 0, 20


@dataclass(frozen=True)
class Facts:
    """What the files of the wanted attempt say.

    Args:
        is_submitted: it stands in the queue; otherwise it is a draft.
        is_locked: a live process holds `job.lock`.
        code: of this attempt's `result.json`, None without one.
        has_runner: `runner.json` names this attempt.
        runner_seconds: how long the observer has known it, by a clock that cannot jump.
        is_alive: the process it names runs, or none is named yet.
        is_asked_to_stop: `control.json` asks this attempt to.
        is_ended_at_once: it says that somebody had this attempt ended without waiting for it to save.
        still_seconds: how long the counter of `progress.json` has stood still for the observer.
        has_checkpoint: there is a whole state to resume from.
    """

    is_submitted: bool = True
    is_locked: bool = False
    code: int | None = None
    has_runner: bool = False
    runner_seconds: float = 0.0
    is_alive: bool = False
    is_asked_to_stop: bool = False
    is_ended_at_once: bool = False
    still_seconds: float = 0.0
    has_checkpoint: bool = False


@dataclass(frozen=True)
class Derived:
    """A job's state.

    Args:
        state: one of the words above.
        is_resumable: a whole state is there to go on from.
        code: exit code when it has failed.
        is_unsaved: it was stopped at once, as somebody wished, and what it had learnt since its last save is lost.
    """

    state: str
    is_resumable: bool = False
    code: int | None = None
    is_unsaved: bool = False


def derive(facts: Facts) -> Derived:
    """The one rule from facts to state."""
    if facts.code is not None:
        if facts.code == DONE_CODE:
            return Derived(COMPLETED)
        if facts.code == STOPPED_CODE:
            return Derived(STOPPED, is_resumable=True)
        return Derived(FAILED, is_resumable=facts.has_checkpoint, code=facts.code)
    if facts.is_locked:
        if facts.is_asked_to_stop:
            return Derived(STOPPING)
        return Derived(STALLED if facts.still_seconds > STALLED_SECONDS else RUNNING)
    if not facts.has_runner:
        return Derived(QUEUED if facts.is_submitted else DRAFT)
    if facts.is_alive and facts.runner_seconds < STARTING_SECONDS:
        return Derived(STARTING)
    # Only who asked for it may call it stopped; what ends without a wish was interrupted.
    if facts.is_ended_at_once:
        return Derived(STOPPED, is_resumable=facts.has_checkpoint, is_unsaved=True)
    return Derived(INTERRUPTED, is_resumable=facts.has_checkpoint)


class Observer:
    """Looks at one job again and again, and remembers since when things are as they are.

    Args:
        folder: of the job.
        clock: seconds that never jump.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self._clock = clock
        self._seen: dict[str, tuple[object, float]] = {}

    def facts(self, *, attempt: int | None = None, is_submitted: bool = True) -> Facts:
        """What the files say now.

        Args:
            attempt: the wanted one; without it, that of `runner.json`, or the first.
            is_submitted: whether the job stands in the queue.
        """
        # The lock is looked at first: a trainer writes its result before it lets go, so that "free and no result" is
        # never the view of a job that just ended.
        locked = lock_holder(self.folder / LOCK) is not None
        runner = read_runner(self.folder)
        wanted = attempt or (runner.attempt if runner else 1)
        ours = runner if runner is not None and runner.attempt == wanted else None
        result, control = read_object(self.folder / RESULT), read_object(self.folder / CONTROL)
        progress = read_object(self.folder / PROGRESS)
        wish = stop_wish(control, wanted)
        return Facts(
            is_submitted=is_submitted,
            is_locked=locked,
            code=_code(result, wanted),
            has_runner=ours is not None,
            runner_seconds=self._since("runner", ours.nonce if ours else None),
            is_alive=ours is not None and _runs(ours),
            is_asked_to_stop=wish is not None,
            is_ended_at_once=wish == AT_ONCE,
            still_seconds=self._since("counter", (progress.get("attempt"), progress.get("counter"))),
            has_checkpoint=has_checkpoint(self.folder),
        )

    def look(self, *, attempt: int | None = None, is_submitted: bool = True) -> Derived:
        """The job's state now."""
        return derive(self.facts(attempt=attempt, is_submitted=is_submitted))

    def _since(self, name: str, value: object) -> float:
        """Seconds this value has been seen without a change."""
        now = self._clock()
        before, start = self._seen.get(name, (value, now))
        if before != value:
            start = now
        self._seen[name] = (value, start)
        return now - start


def stop_wish(control: Mapping[str, Any], attempt: int) -> str | None:
    """What `control.json` asks of an attempt: to stop after saving (STOP), AT_ONCE, or neither."""
    requests = control.get("requests")
    if control.get("attempt") != attempt or not isinstance(requests, list):
        return None
    return next((wish for wish in (AT_ONCE, STOP) if wish in requests), None)


def _code(result: Mapping[str, Any], attempt: int) -> int | None:
    code = result.get("code")
    return code if result.get("attempt") == attempt and isinstance(code, int) else None


def _runs(runner: Runner) -> bool:
    return runner.pid is None or is_alive(Identity(runner.pid, runner.started, runner.boot))
