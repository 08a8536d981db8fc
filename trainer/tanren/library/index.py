"""The index of folders full of LoRAs: shown at once from a file, brought up to date by reading only what changed.

The index can be made again at any time, so a damaged one is thrown away, and writing it is not forced onto the disk.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from ..errors import StorageError
from ..files import write_text
from .rows import FIELDS, PICKLES, SAFETENSORS, KindMemory, Row, from_json, row_of, to_json
from .sidecar import PICTURE_ENDINGS

SCHEMA = 2
NAME = "library.json"
SAVE_SECONDS = 5.0
MAX_FILES = 100_000
MAX_DEPTH = 20
ENDINGS = (SAFETENSORS, *PICKLES)
_BESIDE = (".json", ".civitai.info", *(f"{middle}.{end}" for middle in ("", ".preview") for end in PICTURE_ENDINGS))


@dataclass(frozen=True)
class Found:
    """A file in the folders; `state` changes when it or what lies beside it does."""

    path: Path
    state: str
    size: int
    modified: float


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did, in numbers of files."""

    read: int
    kept: int
    gone: int
    broken: int
    seconds: float
    is_whole: bool = True


class LibraryIndex:
    """Rows by path, in memory and in one file; safe to be read while another thread refreshes."""

    def __init__(self, folder: Path) -> None:
        """Open the index in a cache folder; nothing is read from the library itself.

        `version` grows with every change of a row, for those who keep what they made of them.
        """
        self._file = folder / NAME
        self._lock = threading.Lock()
        self._rows = _load(self._file)
        self.version = 0

    def rows(self) -> list[Row]:
        """What is known now, by path."""
        with self._lock:
            return [self._rows[path] for path in sorted(self._rows)]

    def row(self, path: Path) -> Row | None:
        """What is known about one file."""
        with self._lock:
            return self._rows.get(str(path))

    def refresh(
        self,
        folders: Sequence[Path],
        *,
        flat: Sequence[Path] = (),
        progress: Callable[[int, int], None] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Refreshed:
        """Read what is new or changed in the folders, forget what is gone, and save.

        Args:
            folders: the only ones the index is about from now on, with all that is below them.
            flat: further ones, without the folders inside them.
            progress: told (files done, files in all) as it goes.
            should_stop: asked between two files; what was read until then is kept.
        """
        began = saved = time.monotonic()
        found, kinds = list(files_in(folders, flat)), KindMemory()
        read = kept = 0
        for number, one in enumerate(found):
            if should_stop():
                break
            known = self.row(one.path)
            if known is not None and known.state == one.state:
                kept += 1
            else:
                fresh = row_of(one.path, one.state, one.size, one.modified, kinds)
                read += 1
                with self._lock:
                    self._rows[fresh.path] = fresh
                    self.version += 1
            if progress is not None:
                progress(number + 1, len(found))
            if time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
        gone = self._forget({str(one.path) for one in found})
        self.save()
        broken = sum(1 for row in self.rows() if row.problem)
        return Refreshed(read, kept, gone, broken, time.monotonic() - began, read + kept == len(found))

    def change(self, row: Row) -> None:
        """Keep what else was found out about a file, unless it was read anew meanwhile."""
        with self._lock:
            known = self._rows.get(row.path)
            if known is not None and known.state == row.state:
                self._rows[row.path] = row
                self.version += 1

    def _forget(self, there: set[str]) -> int:
        with self._lock:
            gone = [path for path in self._rows if path not in there]
            for path in gone:
                del self._rows[path]
                self.version += 1
        return len(gone)

    def save(self) -> None:
        """Write the index; without a place for it only the next start is slower."""
        content = {"schema": SCHEMA, "fields": FIELDS, "rows": [to_json(row) for row in self.rows()]}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # Names on a disk may hold bytes that are no text, which only escapes can say.
            write_text(self._file, json.dumps(content, separators=(",", ":")), sync=False)
        except (OSError, StorageError):
            return


def files_in(folders: Sequence[Path], flat: Sequence[Path] = ()) -> Iterator[Found]:
    """Model files below the folders; links are followed once, hidden folders are not entered."""
    seen: set[str] = set()
    walks = (_walk(folder, seen, depth) for depth, some in ((0, folders), (MAX_DEPTH, flat)) for folder in some)
    return islice(chain.from_iterable(walks), MAX_FILES)


def _walk(folder: Path, seen: set[str], depth: int) -> Iterator[Found]:
    """The folder's files; at MAX_DEPTH no folder inside it is entered any more."""
    real = os.path.realpath(folder)
    if real in seen or depth > MAX_DEPTH:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as listed:
            entries = {entry.name: entry for entry in listed}
    except OSError:
        # A folder that cannot be listed has no rows; the others have.
        return
    for name in sorted(entries):
        entry = entries[name]
        try:
            if entry.is_dir():
                if not name.startswith("."):
                    yield from _walk(Path(entry.path), seen, depth + 1)
            elif name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield _found(entry, entries)
        except OSError:
            continue


def _found(entry: os.DirEntry[str], beside: dict[str, os.DirEntry[str]]) -> Found:
    status = entry.stat()
    stem = entry.name.rpartition(".")[0]
    near = [beside[stem + ending] for ending in _BESIDE if stem + ending in beside]
    marks = [f"{one.name}:{one.stat().st_mtime_ns}" for one in near]
    state = "|".join([str(status.st_size), str(status.st_mtime_ns), *marks])
    return Found(Path(entry.path), state, status.st_size, status.st_mtime)


def _load(file: Path) -> dict[str, Row]:
    """Rows of the file; none when there is none, or it is of another version or damaged."""
    try:
        content = json.loads(file.read_text("utf-8"))
        if content["schema"] != SCHEMA or tuple(content["fields"]) != FIELDS:
            return {}
        rows = [from_json(values) for values in content["rows"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return {row.path: row for row in rows}
