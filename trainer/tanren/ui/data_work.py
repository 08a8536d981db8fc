"""The one piece of work at a time that changes pictures or captions, seen from the page."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BusyError, UserError
from .words import Text

log = logging.getLogger("tanren.ui")


@dataclass(frozen=True)
class Trial:
    """What a tool would make of one picture.

    Args:
        picture: the file.
        made: PNG files of what becomes of it.
        texts: what would be written.
    """

    picture: Path
    made: tuple[bytes, ...]
    texts: tuple[str, ...]


@dataclass
class Work:
    """What is being done, or was done last.

    Args:
        title: of the tool.
        done, total: how far it is; a total of 0 where nobody knows.
        said: a sentence about the outcome.
        notes: further ones, and what is wrong with single files.
        problem: why it ended early.
        is_working: it still runs.
        trial: what it would do to one picture, when that was asked for.
    """

    title: str = ""
    done: int = 0
    total: int = 0
    said: str = ""
    notes: list[str | Text | UserError] = field(default_factory=list)
    problem: UserError | None = None
    is_working: bool = False
    is_stopped: bool = False
    trial: Trial | None = None

    def progress(self, done: int, total: int) -> None:
        """Told by the work as it goes."""
        self.done, self.total = done, total

    def should_stop(self) -> bool:
        """Asked by the work between two files."""
        return self.is_stopped


class Workbench:
    """Does one thing at a time, on a thread of its own."""

    def __init__(self) -> None:
        self.now = Work()
        self._lock = threading.Lock()

    def begin(self, title: str, act: Callable[[Work], str], done: Callable[[], None]) -> Work:
        """Begin to work.

        Args:
            title: of the tool.
            act: does it and returns a sentence about the outcome.
            done: called at the end, however it ended.

        Raises:
            BusyError: something else is being done.
        """
        with self._lock:
            if self.now.is_working:
                raise BusyError(
                    where=self.now.title,
                    what="Something else is being done to pictures or captions.",
                    fix="Wait for its end, or stop it.",
                )
            work = self.now = Work(title, is_working=True)
        threading.Thread(target=_act, args=(work, act, done), daemon=True).start()
        return work

    def stop(self) -> None:
        """Ask the work to end after the file it is at."""
        self.now.is_stopped = True


def _act(work: Work, act: Callable[[Work], str], done: Callable[[], None]) -> None:
    try:
        work.said = act(work)
    except UserError as problem:
        work.problem = problem
    except Exception as fault:
        # A fault of ours: the page gets a sentence, the console the traceback.
        log.exception("A fault while working on pictures or captions:")
        work.problem = UserError(what="Tanren itself failed at this.", why=repr(fault))
    finally:
        done()
        work.is_working = False
