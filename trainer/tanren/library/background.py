"""Work on the library that a page watches: the folders are read, or copies are searched, while rows are shown."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from .copies import CopySearch
from .index import LibraryIndex, Refreshed

Kind = Literal["refresh", "copies"]


class LibraryWork:
    """One piece of work in a thread of its own.

    Args:
        index: of the library.
        folders: that it is about; a search for copies is about the files that are known.
        flat: further folders, without those inside them.
        kind: "refresh" reads what is new or changed, "copies" finds files with the same tensors.
    """

    def __init__(
        self, index: LibraryIndex, folders: Sequence[Path], kind: Kind = "refresh", *, flat: Sequence[Path] = ()
    ) -> None:
        self.kind, self._folders, self._flat = kind, tuple(folders), tuple(flat)
        self.done, self.total = 0, 0
        self.result: Refreshed | None = None
        self.is_whole = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(index,), daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """True until the work is over."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to end after the file, or the megabyte, that it reads now; what was found out is kept."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; True when it is over."""
        self._thread.join(seconds)
        return not self.is_running

    def _run(self, index: LibraryIndex) -> None:
        if self.kind == "copies":
            self.is_whole = CopySearch(index, self._stop.is_set, self._count).run()
        else:
            self.result = index.refresh(
                self._folders, flat=self._flat, progress=self._count, should_stop=self._stop.is_set
            )
            self.is_whole = self.result.is_whole

    def _count(self, done: int, total: int) -> None:
        self.done, self.total = done, total
