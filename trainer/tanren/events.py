"""What a run tells and what it may be asked.

An event is a flat dict with `kind` and `time` (seconds since 1970). Kinds: phase (name, done, total; epochs too when it
is the training), step (step, epoch, loss, average, lr, seconds, memory), epoch (step, epoch, average), validation
(step, average), sample (file, prompt, seed, index, step), saved (file, step, epoch), saved_state (file, step, epoch),
warning (text), problem (code, where, what, why, fix), note (text), ended (state, reason). Sinks show or store them: the
console, a job folder, trackers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .errors import StoppedOnRequest, UserError

Event = dict[str, Any]
Sink = Callable[[Event], None]
REQUESTS = ("stop", "save", "sample")
# Nothing is learnt in these, so a run that is asked to stop has nothing to save and need not wait for their end.
BEFORE_TRAINING = ("scan", "load", "cache latents", "cache text")


class Phase:
    """Progress inside one named part of a run."""

    def __init__(self, report: Report, name: str, total: int | None) -> None:
        self._report, self.name, self.total, self.done = report, name, total, 0
        self._tell()

    def advance(self, count: int = 1) -> None:
        """Say that `count` more units are done.

        Raises:
            StoppedOnRequest: somebody asked the run to stop, and the training has not begun.
        """
        self.done += count
        self._tell()
        if self.name in BEFORE_TRAINING and self._report.is_asked_to_stop():
            raise StoppedOnRequest("Stopped before the training went on: nothing new was learnt that could be saved.")

    def _tell(self) -> None:
        self._report.tell("phase", name=self.name, done=self.done, total=self.total)


class Report:
    """Where every part of a run says what happens; knows nothing of who listens.

    Args:
        sinks: get every event.
        asked: requests that came in since its last call.
    """

    def __init__(self, sinks: Sequence[Sink] = (), asked: Callable[[], set[str]] = set) -> None:
        self._sinks = list(sinks)
        self._asked = asked
        self._waiting: set[str] = set()

    def add_sink(self, sink: Sink) -> None:
        """Listen to all further events."""
        self._sinks.append(sink)

    def tell(self, kind: str, **facts: Any) -> None:
        """Hand one event to every sink."""
        event: Event = {"kind": kind, "time": time.time(), **facts}
        for sink in self._sinks:
            sink(event)

    def note(self, text: str) -> None:
        """One line for the log."""
        self.tell("note", text=text)

    def warning(self, text: str) -> None:
        """One line the user should read; the run goes on."""
        self.tell("warning", text=text)

    def problem(self, error: UserError) -> None:
        """An expected problem, with its fix."""
        self.tell("problem", **error.as_dict())

    @contextmanager
    def phase(self, name: str, total: int | None = None) -> Iterator[Phase]:
        """Open a phase (load, cache latents, cache text, train, sample, save, upload and others) of `total` units."""
        yield Phase(self, name, total)

    def asked(self) -> set[str]:
        """Requests (stop, save, sample) that came in since the last call."""
        waiting, self._waiting = self._waiting, set()
        return waiting | self._asked()

    def is_asked_to_stop(self) -> bool:
        """True when "stop" is among the requests that `asked` will hand out next."""
        self._waiting |= self._asked()
        return "stop" in self._waiting
