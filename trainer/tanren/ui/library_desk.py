"""The library behind the page: which folders it is about, its index, and the work that brings it up to date."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from ..jobs.shelf import Job, Shelf
from ..library.background import LibraryWork
from ..library.index import LibraryIndex
from ..library.rows import Row
from ..library.table import Filters, filtered, ordered
from ..paths import resolve_user_path
from .host import Surroundings

FOLDER = ("cache", "library")
# Whoever opens the page again and again does not make the disk work all the time.
REST_SECONDS = 20.0


@dataclass(frozen=True)
class Folders:
    """Where LoRAs are looked for.

    Args:
        deep: with all folders inside them.
        flat: without; results of jobs, which may lie among anything else.
    """

    deep: tuple[Path, ...] = ()
    flat: tuple[Path, ...] = ()


@dataclass
class LibraryDesk:
    """One library for all who have the page open; the index is opened when somebody asks for it."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _index: LibraryIndex | None = None
    _work: LibraryWork | None = None
    _ended: float = float("-inf")
    _shown: tuple[object, list[Row]] | None = None

    def index(self, data_dir: Path) -> LibraryIndex:
        """The index; the rows of the last time are there at once."""
        with self._lock:
            if self._index is None:
                self._index = LibraryIndex(data_dir.joinpath(*FOLDER))
            return self._index

    def work(self) -> LibraryWork | None:
        """What is being done, or was done last."""
        return self._work

    def refresh(self, index: LibraryIndex, folders: Folders, *, is_asked: bool) -> None:
        """Begin to read what has changed in the folders, unless work is under way.

        Args:
            index: of the library.
            folders: where to look.
            is_asked: somebody pressed a button; otherwise it is left out when the last time is not long ago.
        """
        with self._lock:
            if self._is_busy() or (not is_asked and time.monotonic() - self._ended < REST_SECONDS):
                return
            self._ended = time.monotonic()
            self._work = LibraryWork(index, folders.deep, flat=folders.flat)

    def search_copies(self, index: LibraryIndex) -> None:
        """Begin to compare files of equal size, unless work is under way."""
        with self._lock:
            if not self._is_busy():
                self._work = LibraryWork(index, (), "copies")

    def pause(self) -> None:
        """End the work that is under way; what it has found is kept."""
        if self._work is not None:
            self._work.stop()

    def rows(self, index: LibraryIndex, filters: Filters, column: str, *, descending: bool) -> list[Row]:
        """Filtered and ordered rows; a page asks for the same ones piece by piece."""
        key = (index.version, filters, column, descending)
        shown = self._shown
        if shown is None or shown[0] != key:
            shown = (key, ordered(filtered(index.rows(), filters), column, descending=descending))
            self._shown = shown
        return shown[1]

    def _is_busy(self) -> bool:
        return self._work is not None and self._work.is_running


def lora_folders(around: Surroundings) -> tuple[Path, ...]:
    """The WebUI's LoRA folders, or the one that the standalone program was started with."""
    return tuple(folder for folder in around.lora_dirs() if _is_allowed(around, folder))


def library_folders(around: Surroundings, shelf: Shelf) -> Folders:
    """The LoRA folders, and those where jobs put their results."""
    results = [folder for job in shelf.all() if (folder := _results_of(job)) is not None]
    return Folders(lora_folders(around), tuple(one for one in dict.fromkeys(results) if _is_allowed(around, one)))


def _results_of(job: Job) -> Path | None:
    try:
        folder = job.spec().options.get("output_dir")
    except UserError:
        # Its own page says what is wrong with it.
        return None
    return Path(folder) if isinstance(folder, str) and folder else None


def _is_allowed(around: Surroundings, folder: Path) -> bool:
    """False for folders that are not there, or that the page must not look into."""
    try:
        resolve_user_path(str(folder), "folder", policy=around.policy())
    except UserError:
        return False
    return True
