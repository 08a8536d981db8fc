"""One job as the UI sees it: where it stands, and what can be asked of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StorageError, UsageError
from . import actions, trash
from .derived import DRAFT, FAILED, QUEUED, RUNNING, STALLED, STARTING, STOPPING, Facts, Observer, derive
from .ending import end_attempt
from .envelope import Envelope, read_envelope, write_envelope
from .folder import (
    AT_ONCE,
    CHECKPOINTS,
    ENVELOPE,
    RESULT,
    RUNNER,
    SPEC,
    STOP,
    Runner,
    Spec,
    ask,
    read_object,
    read_runner,
    read_spec,
)

if TYPE_CHECKING:
    from .shelf import Shelf

Signature = tuple[tuple[int, int, int] | None, ...]
AT_WORK = (STARTING, RUNNING, STALLED)
WATCHED = (ENVELOPE, RUNNER, RESULT, CHECKPOINTS)


@dataclass(frozen=True)
class Look:
    """How a job stands at one moment.

    Args:
        state: one of the words of `derived.py`.
        is_resumable: it can go on from a state of its own.
        code: exit code when it failed.
        attempt: the wanted or running one.
        is_active: a process is at work on it, or just going.
        is_by_hand: that process was started at a shell, and is not ours to end.
        is_unsaved: it was stopped without being saved.
    """

    state: str
    is_resumable: bool
    code: int | None
    attempt: int
    is_active: bool
    is_by_hand: bool
    is_unsaved: bool


class Job:
    """A job of a shelf; made by it. Safe to use from several threads.

    Args:
        shelf: where it stands.
        folder: holds all that is known about it.
    """

    def __init__(self, shelf: Shelf, folder: Path) -> None:
        self.shelf, self.folder, self.id = shelf, folder, folder.name
        # What viewers derive from its files; gone with the job.
        self.notes: dict[str, Any] = {}
        self._observer = Observer(folder)
        self._guard = threading.Lock()
        self._paths: dict[tuple[str, ...], tuple[Path, ...]] = {}
        self._spec: Spec | None = None
        self._envelope: tuple[Signature, Envelope] | None = None
        self._look: tuple[Signature, Look] | None = None

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def signature(self, names: tuple[str, ...]) -> Signature:
        """What changes whenever one of these files of its folder is written."""
        # Made once: with hundreds of jobs, making path objects costs more than asking the system.
        paths = self._paths.get(names)
        if paths is None:
            paths = self._paths[names] = tuple(self.folder / name for name in names)
        return tuple(_signature(path) for path in paths)

    def spec(self) -> Spec:
        """What it trains.

        Raises:
            UsageError: unreadable, or written by a newer version.
        """
        if self._spec is None:
            spec = read_spec(self.folder)
            if spec is None:
                where = str(self.folder / SPEC)
                raise UsageError(where=where, what="The job's settings are gone.", fix="Delete the job.")
            self._spec = spec
        return self._spec

    def envelope(self) -> Envelope:
        """Its place in the queue; a draft's for a job that was started by hand and never stood there."""
        signature = self.signature((ENVELOPE,))
        if self._envelope is None or self._envelope[0] != signature:
            found = read_envelope(self.folder)
            self._envelope = signature, found or Envelope(name=self.id, is_submitted=False)
        return self._envelope[1]

    @property
    def state(self) -> str:
        """How it stands, in one word of `derived.py`."""
        return self.look().state

    def look(self) -> Look:
        """How it stands now; its clocks go on from look to look."""
        signature = self.signature(WATCHED)
        with self._guard:
            if self._look is not None and self._look[0] == signature:
                return self._look[1]
            envelope, runner = self.envelope(), read_runner(self.folder)
            # Somebody may have begun further attempts at a shell.
            attempt = max(envelope.attempt, runner.attempt if runner else 0)
            facts = self._observer.facts(attempt=attempt, is_submitted=envelope.is_submitted)
            look = _look(facts, attempt, runner)
            # Where no process is at work, or may still come to it, nothing changes without one of these files.
            is_settled = not look.is_active and (facts.code is not None or not facts.is_alive)
            self._look = (signature, look) if is_settled else None
        return look

    def actions(self) -> list[str]:
        """What can be asked of it now, by the names of its methods."""
        return actions.legal(self)

    def device(self) -> str | None:
        """What it computes on, or was given to."""
        runner = read_runner(self.folder)
        is_current = runner is not None and runner.attempt == self.look().attempt and bool(runner.device)
        return runner.device if runner is not None and is_current else self.envelope().device

    def ask_stop(self) -> None:
        """Let it finish its step, save and end; a queued one leaves the queue."""
        self._stop(is_pause=False)

    def pause(self) -> None:
        """Stop it with everything that `resume` needs later."""
        self._stop(is_pause=True)

    def stop_now(self, *, wait: bool = False) -> None:
        """End it with everything it started, without waiting for it to save.

        Args:
            wait: return when nothing of it is left; otherwise that happens within seconds.

        Raises:
            UsageError: nothing runs, or it was started at a shell.
            StorageError: waited for, but something of it is still there.
        """
        with self.shelf.lock():
            self._check("stop_now")
            ask(self.folder, [AT_ONCE], self.look().attempt)
        if not wait:
            threading.Thread(target=end_attempt, args=(self.folder,), kwargs={"at_once": True}, daemon=True).start()
        elif not end_attempt(self.folder, at_once=True):
            what = "A process of it could not be ended."
            raise StorageError(where=self.id, what=what, fix="It may hang in a driver; restart the machine.")

    def save_now(self) -> None:
        """Let it save its weights after this step and go on."""
        self._ask("save", "save")

    def sample_now(self) -> None:
        """Let it draw its sample prompts after this step and go on."""
        self._ask("sample", "sample")

    def submit(self) -> None:
        """Put a draft into the queue, or a job that failed with nothing to go on from there again."""
        with self.shelf.lock():
            look = self.look()
            if look.state in (QUEUED, *AT_WORK):
                return
            self._check("submit")
            attempt = look.attempt if look.state == DRAFT else look.attempt + 1
            self._queue(attempt, resume=False)

    def resume(self) -> None:
        """Put it into the queue again; it goes on from the newest whole state it has saved."""
        with self.shelf.lock():
            look = self.look()
            if look.state in (QUEUED, *AT_WORK):
                return
            self._check("resume")
            self._queue(look.attempt + 1, resume=True)

    def withdraw(self) -> None:
        """Take it out of the queue; it stays as a draft, or as what it was before it was queued again."""
        with self.shelf.lock():
            self._check("withdraw")
            envelope, runner = self.envelope(), read_runner(self.folder)
            before = runner.attempt if runner is not None and runner.attempt < envelope.attempt else None
            self.write(replace(envelope, is_submitted=False, attempt=before or envelope.attempt, waiting=None))

    def retry(self, changes: Mapping[str, Any] | None = None, *, request_id: str = "", name: str | None = None) -> Job:
        """Queue a new job with the same settings, some of them changed.

        Args:
            changes: options by name; None takes one out, so that its default counts.
            request_id: of the click; the same click twice is one job.
            name: of the new job; the same when not given.
        """
        spec, envelope = self.spec(), self.envelope()
        options = {**spec.options, **(changes or {})}
        if options.get("output_dir") == str(self.shelf.default_output(self.id)):
            del options["output_dir"]
        kept = {option: value for option, value in options.items() if value is not None}
        return self.shelf.submit(
            spec.command,
            kept,
            name=name or envelope.name or self.id,
            request_id=request_id,
            device=envelope.device,
            retry_of=self.id,
        )

    def move(self, direction: str) -> None:
        """Let a queued job start before ("up") or after ("down") its neighbour in the queue."""
        if direction not in ("up", "down"):
            raise UsageError(where="move", what=f"{direction!r} is not a direction.", fix="Say up or down.")
        with self.shelf.lock():
            queue = self.shelf.queue()
            if self not in queue:
                return
            place = queue.index(self)
            other = place + (1 if direction == "down" else -1)
            if 0 <= other < len(queue):
                queue[place], queue[other] = queue[other], queue[place]
                for order, job in enumerate(queue, min(job.envelope().order for job in queue)):
                    if job.envelope().order != order:
                        job.write(replace(job.envelope(), order=order))

    def delete(self, with_outputs: bool = False) -> Path:
        """Move it to the trash and return its place there.

        Args:
            with_outputs: the files that it wrote elsewhere go with it.

        Raises:
            BusyError: it runs.
        """
        with self.shelf.lock():
            place = trash.move_to_trash(self, with_outputs=with_outputs)
        self.shelf.forget(self.id)
        return place

    def requeue(self) -> None:
        """Queue it again at its old place, because what it needed was in use."""
        with self.shelf.lock():
            look = self.look()
            if look.state == FAILED and not look.is_active:
                problem = read_object(self.folder / RESULT).get("problem")
                waiting = problem if isinstance(problem, dict) else None
                self.write(replace(self.envelope(), attempt=look.attempt + 1, is_submitted=True, waiting=waiting))

    def say_started(self) -> None:
        """Its trainer runs: what kept it waiting is over. Hold the shelf's lock."""
        envelope = self.envelope()
        if envelope.waiting is not None or envelope.is_paused:
            self.write(replace(envelope, waiting=None, is_paused=False))

    def write(self, envelope: Envelope) -> None:
        """Change its place in the queue; hold the shelf's lock."""
        write_envelope(self.folder, envelope)
        self._envelope = None

    def _stop(self, *, is_pause: bool) -> None:
        with self.shelf.lock():
            look = self.look()
            if look.state == QUEUED:
                self.withdraw()
                return
            self._check("pause" if is_pause else "stop")
            ask(self.folder, [STOP], look.attempt)
            if is_pause:
                self.write(replace(self.envelope(), is_paused=True))

    def _ask(self, action: str, request: str) -> None:
        with self.shelf.lock():
            self._check(action)
            ask(self.folder, [request], self.look().attempt)

    def _queue(self, attempt: int, *, resume: bool) -> None:
        envelope = replace(
            self.envelope(),
            attempt=attempt,
            order=self.shelf.next_order(),
            is_submitted=True,
            resume=resume,
            is_paused=False,
            waiting=None,
        )
        self.write(envelope)

    def _check(self, action: str) -> None:
        if action not in self.actions():
            raise actions.refused(self, action)


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _look(facts: Facts, attempt: int, runner: Runner | None) -> Look:
    derived = derive(facts)
    at_work = derived.state in (*AT_WORK, STOPPING)
    is_alive = facts.is_alive and runner is not None and runner.pid is not None
    return Look(
        state=derived.state,
        is_resumable=derived.is_resumable,
        code=derived.code,
        attempt=attempt,
        is_active=facts.is_locked or is_alive or at_work,
        is_by_hand=facts.has_runner and runner is not None and not runner.device,
        is_unsaved=derived.is_unsaved,
    )
