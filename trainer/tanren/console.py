"""What the terminal shows: log lines, and bars once training begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .events import Event
from .options.spec import Settings
from .options.tracking import ConsoleOptions

log = logging.getLogger("tanren")
LINES: dict[str, tuple[int, Callable[[Event], str]]] = {
    "warning": (logging.WARNING, lambda event: event["text"]),
    "note": (logging.INFO, lambda event: event["text"]),
    "saved": (logging.INFO, lambda event: f"saved {event['file']}"),
    "sample": (logging.INFO, lambda event: f"sample {event['file']}"),
    "validation": (logging.INFO, lambda event: f"validation loss {event['average']:.5f} at step {event['step']}"),
    "epoch": (
        logging.INFO,
        lambda event: f"epoch {event['epoch']} done, step {event['step']}, loss {event['average']:.4g}",
    ),
}


class Terminal:
    """A sink that writes log lines; inside of `bars` it shows progress bars between them."""

    def __init__(self, settings: Settings) -> None:
        self._options = settings[ConsoleOptions]
        self._bars: Callable[[Event], None] | None = None

    def __call__(self, event: Event) -> None:
        """One event."""
        if self._bars is not None:
            self._bars(event)
        elif event["kind"] in LINES:
            level, text = LINES[event["kind"]]
            log.log(level, "%s", text(event))

    @contextmanager
    def bars(self) -> Iterator[None]:
        """Show bars, unless plain lines or a log file were asked for."""
        if self._options.console_log_simple or self._options.console_log_file:
            yield
            return
        # Imported here: tqdm belongs to the trainer's environment, the checks before do without it.
        from .engine.report import Console

        with Console() as console:
            self._bars = console
            try:
                yield
            finally:
                self._bars = None
