"""Asking a run to stop from the keyboard or by the operating system."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

log = logging.getLogger("tanren")
SAME_REQUEST_SECONDS = 5.0
STOPPING = "Stopping after this step; what was learnt is saved. Once more ends the run at once."


class StopOnSignal:
    """Turns the first Ctrl+C or TERM into the request "stop"; the second one ends the process as usual.

    Use as a context around the training. In threads other than the main one, signals cannot be caught and nothing
    changes.

    Args:
        is_launched: a launcher of several processes hands signals on that the terminal may have sent to all of them
            already, and sends one to whoever is left as soon as the first process has ended. What arrives shortly after
            the first signal is the same request, and what arrives after the training does not disturb its report.
        said: to the person who asked.
    """

    def __init__(self, *, is_launched: bool = False, said: str = STOPPING) -> None:
        self._is_launched, self._said = is_launched, said
        self._others: Callable[[], set[str]] = set
        self._stop = False
        self._stopped_at = 0.0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_launched:
            for number in self._before:
                signal.signal(number, signal.SIG_IGN)
        else:
            self._restore()

    def listen(self, others: Callable[[], set[str]]) -> None:
        """Hear further requests, such as those of a job folder."""
        self._others = others

    def asked(self) -> set[str]:
        """Requests that came in since the last call; "stop" is repeated, because it stays true."""
        return self._others() | ({"stop"} if self._stop else set())

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self._is_launched:
            if self._stop and time.monotonic() - self._stopped_at > SAME_REQUEST_SECONDS:
                self._restore()
                signal.raise_signal(number)
            if self._stop:
                return
            self._stopped_at = time.monotonic()
        else:
            self._restore()
        self._stop = True
        # Logging may hold its lock at this very moment, and waiting for it inside a signal handler would hang.
        threading.Thread(target=log.warning, args=("%s", self._said), daemon=True).start()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}
