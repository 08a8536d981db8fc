"""What the tools write waits for a while and is then written at once, as one operation that can be undone.

The journal of changes is open only while a portion is written, so that captions can be edited on the page during the
minutes or hours that a model works. Most runs are one portion, and so one step of undo; a run that is killed loses
what waited. A rehearsal (`--dry-run`) writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import BusyError
from ..events import Report
from ..paths import data_folder
from ..preparation.journal import Journal, Recorder, Write

USUAL_SECONDS = 300.0
LARGEST_BYTES = 64 * 2**20
# Somebody may be using the journal; each attempt waits some seconds for it.
ATTEMPTS = 30


@dataclass(frozen=True)
class Waiting:
    """The files of one picture.

    Args:
        make: says what to write; called when the portion is written, so that it sees the files as they are then.
        size: bytes that wait in memory.
        tell: called when they are written.
    """

    make: Callable[[], Sequence[Write]]
    size: int
    tell: Callable[[], None]


def _nothing() -> None:
    """It has been told before."""


class Portions:
    """Collects what is to be written; use as a context, whose end writes the rest, however it comes.

    Args:
        title: of the operations in the journal.
        folder: that they are listed under.
        report: told when the journal is in use elsewhere.
        seconds: after which a portion is written.
    """

    def __init__(self, title: str, folder: Path, report: Report, *, seconds: float = USUAL_SECONDS) -> None:
        self._title, self._folder, self._report, self._seconds = title, folder, report, seconds
        self._waiting: list[Waiting] = []
        self._since = time.monotonic()

    def __enter__(self) -> Portions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write()

    def add(self, make: Callable[[], Sequence[Write]], size: int = 0, tell: Callable[[], None] = _nothing) -> None:
        """Let something wait, and write the portion when it is large or old enough; see `Waiting`.

        Raises:
            DataError: a file was changed at this very moment by another program.
            StorageError: the disk is full or gone.
            BusyError: the journal is in use elsewhere, for minutes.
        """
        self._waiting.append(Waiting(make, size, tell))
        is_old = time.monotonic() - self._since > self._seconds
        if is_old or sum(item.size for item in self._waiting) > LARGEST_BYTES:
            self.write()

    def write(self) -> None:
        """Write what waits; errors as `add`."""
        for attempt in range(ATTEMPTS if self._waiting else 0):
            try:
                self._write()
            except BusyError as problem:
                if attempt == ATTEMPTS - 1:
                    raise
                self._report.warning(f"{problem.what} {len(self._waiting)} pictures wait to be written.")
            else:
                break
        self._since = time.monotonic()

    def _write(self) -> None:
        with Journal(data_folder()).operation(self._title, self._folder) as recorder:
            waiting, self._waiting = self._waiting, []
            recorder.write_all(_writes(waiting, recorder))
        for item in waiting:
            item.tell()


def _writes(waiting: Sequence[Waiting], recorder: Recorder) -> Iterator[Write]:
    for item in waiting:
        for write in item.make():
            recorder.make_folder(write.path.parent)
            yield write
