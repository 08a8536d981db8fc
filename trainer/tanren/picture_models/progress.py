"""How a run tells what it does: lines for people, or one JSON object a line for programs; and how it is asked to stop.

Kinds beside those of `events`: `picture` (file, changed, and what was found), `result` (counts). The last one is
`ended` (state, code, reason).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ..errors import StoppedOnRequest
from ..events import Event, Report

LINE_SECONDS = 5.0
STOPPING = "Stopping after this picture. Once more ends at once."


class JsonSink:
    """One JSON object a line; when nobody reads them any more, the run is asked to stop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_heard = True

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        if not self.is_heard:
            return
        try:
            self._stream.write(json.dumps(event, ensure_ascii=False) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            # The page is gone. What waits is still written; the interpreter must not try to flush at its end.
            self.is_heard = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def asked(self) -> set[str]:
        """Requests."""
        return set() if self.is_heard else {"stop"}


class ConsoleSink:
    """Lines for people, on the standard error output, so that results alone go to the standard output.

    Args:
        stream: where to.
        shows_pictures: one line per picture, with what was found.
    """

    def __init__(self, stream: TextIO | None = None, *, shows_pictures: bool = False) -> None:
        self._stream, self._shows_pictures = stream or sys.stderr, shows_pictures
        self._last, self._shown = 0.0, ("", -1)

    def __call__(self, event: Event) -> None:
        """Show one event."""
        kind = event["kind"]
        if kind == "phase":
            self._phase(event)
        elif kind in ("warning", "note"):
            self._say(("Warning: " if kind == "warning" else "") + event["text"])
        elif kind == "problem":
            self._say("\n  ".join(filter(None, (_head(event), event["why"], event["fix"]))))
        elif kind == "picture" and self._shows_pictures:
            self._say(f"{event['file']}: {event['text']}")
        elif kind == "result":
            failed = f", {event['failed']} failed" if event["failed"] else ""
            self._say(f"{event['written']} written, {event['unchanged']} left as they are{failed}.")
        elif kind == "ended" and event["reason"] and event["state"] != "failed":
            self._say(event["reason"])

    def _phase(self, event: Event) -> None:
        total, done, now = event["total"], event["done"], time.monotonic()
        # Signs of life say the same again and again; people need it once.
        is_new = self._shown != (event["name"], done)
        if is_new and (done in (0, total) or now - self._last > LINE_SECONDS):
            self._last, self._shown = now, (event["name"], done)
            self._say(f"{event['name']}: {done} of {total}" if total else str(event["name"]))

    def _say(self, text: str) -> None:
        print(text.encode("utf-8", "replace").decode("utf-8"), file=self._stream, flush=True)


def any_of(*sources: Callable[[], set[str]]) -> Callable[[], set[str]]:
    """The requests of several places."""

    def asked() -> set[str]:
        return {request for source in sources for request in source()}

    return asked


def stop_file(path: Path | None) -> Callable[[], set[str]]:
    """Requests from outside: "stop" once a file of this name is there."""

    def asked() -> set[str]:
        return {"stop"} if path is not None and path.exists() else set()

    return asked


def stop_if_asked(report: Report, done: int, total: int) -> None:
    """End the run between two pictures when somebody asked for it.

    Raises:
        StoppedOnRequest: somebody did.
    """
    if report.is_asked_to_stop():
        raise StoppedOnRequest(f"Stopped on request after {done} of {total}; what was written so far stays.")


def _head(event: Event) -> str:
    return f"{event['where']}: {event['what']}" if event["where"] else str(event["what"])
