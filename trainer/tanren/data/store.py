"""Packed values with an index: one file of bytes for each kind of value and encoder, found by content.

A store on disk is `index.sqlite3` (which file has which content; where each value lies, with a checksum) and packs
`<name>.pack`, to which values are only ever appended. Appending happens inside a write transaction of the index, so
that processes and runs can share one folder; a crash leaves at worst bytes that no entry points to. Everything in it
can be made again, so a damaged index is simply started anew.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from ..disk import storage_error

ALIGNMENT = 64
PATIENCE = 120.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    folder BLOB, name BLOB, size INTEGER, mtime INTEGER, digest BLOB, PRIMARY KEY (folder, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    pack TEXT, key BLOB, start INTEGER, length INTEGER, checksum INTEGER, PRIMARY KEY (pack, key)
) WITHOUT ROWID;
"""


class Entry(NamedTuple):
    """Where a value lies in its pack, in bytes, and its CRC-32."""

    start: int
    length: int
    checksum: int


class FileFacts(NamedTuple):
    """A file whose content is known: when size and time (nanoseconds) still agree, it was not changed."""

    size: int
    mtime: int
    digest: bytes


class Store(Protocol):
    """Values by key, in memory or on disk."""

    def files(self, folder: str) -> dict[str, FileFacts]:
        """Name to what is known of the files in a folder."""

    def remember(self, folder: str, facts: Sequence[tuple[str, FileFacts]]) -> None:
        """Keep what is known of files in a folder."""

    def entries(self) -> dict[bytes, Entry]:
        """All values of this pack."""

    def add(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep values; a key that is there already keeps its value."""

    def forget(self, keys: Sequence[bytes]) -> None:
        """Drop values from the index."""

    def buffer(self) -> mmap.mmap:
        """All bytes of the pack, mapped; forked processes share them."""


class MemoryStore:
    """A store for one run.

    Args:
        expected_bytes: room to begin with; the system gives it page by page as it is used.
    """

    def __init__(self, expected_bytes: int = 0) -> None:
        self._map = mmap.mmap(-1, max(expected_bytes, ALIGNMENT))
        self._end = 0
        self._entries: dict[bytes, Entry] = {}

    def files(self, folder: str) -> dict[str, FileFacts]:
        """Nothing is known before the run."""
        return {}

    def remember(self, folder: str, facts: Sequence[tuple[str, FileFacts]]) -> None:
        """Nothing outlives the run."""

    def entries(self) -> dict[bytes, Entry]:
        """All values added so far."""
        return self._entries

    def add(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep values; a key that is there already keeps its value."""
        for key, value in values:
            if key not in self._entries:
                if self._end + len(value) > len(self._map):
                    self._grow(self._end + len(value))
                self._map[self._end : self._end + len(value)] = value
                self._entries[key] = Entry(self._end, len(value), zlib.crc32(value))
                self._end += aligned(len(value))

    def forget(self, keys: Sequence[bytes]) -> None:
        """Drop values."""
        for key in keys:
            self._entries.pop(key, None)

    def buffer(self) -> mmap.mmap:
        """All bytes."""
        return self._map

    def _grow(self, needed: int) -> None:
        larger = mmap.mmap(-1, 2 * needed)
        larger[: self._end] = self._map[: self._end]
        self._map = larger


class DiskStore:
    """A store that later runs find again.

    Args:
        folder: the cache folder, made when missing.
        pack: name of the kind of value and of what made it.

    Raises:
        StorageError: the folder cannot be written.
    """

    def __init__(self, folder: Path, pack: str) -> None:
        self.folder, self.pack = folder, pack
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(folder, error) from error
        self._index = folder / "index.sqlite3"
        self._path = folder / f"{pack}.pack"
        self._ensure_index()

    def files(self, folder: str) -> dict[str, FileFacts]:
        """Name to what is known of the files in a folder."""
        with self._connection() as index:
            known = (os.fsencode(folder),)
            rows = index.execute("SELECT name, size, mtime, digest FROM files WHERE folder = ?", known)
            return {os.fsdecode(name): FileFacts(*facts) for name, *facts in rows}

    def remember(self, folder: str, facts: Sequence[tuple[str, FileFacts]]) -> None:
        """Keep what is known of files in a folder."""
        with self._writing() as index:
            rows = ((os.fsencode(folder), os.fsencode(name), *known) for name, known in facts)
            index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)

    def entries(self) -> dict[bytes, Entry]:
        """All values of this pack."""
        with self._connection() as index:
            rows = index.execute("SELECT key, start, length, checksum FROM entries WHERE pack = ?", (self.pack,))
            return {key: Entry(*place) for key, *place in rows}

    def add(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        """Append values; the transaction keeps other processes from appending at the same time."""
        with self._writing() as index, self._path.open("ab") as pack:
            place = pack.seek(0, os.SEEK_END)
            place += pack.write(b"\0" * (aligned(place) - place))
            for key, value in values:
                row = (self.pack, key, place, len(value), zlib.crc32(value))
                if index.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?, ?)", row).rowcount:
                    padding = b"\0" * (aligned(len(value)) - len(value))
                    place += pack.write(value) + pack.write(padding)

    def forget(self, keys: Sequence[bytes]) -> None:
        """Drop values from the index; their bytes stay in the pack."""
        with self._writing() as index:
            index.executemany("DELETE FROM entries WHERE pack = ? AND key = ?", ((self.pack, key) for key in keys))

    def buffer(self) -> mmap.mmap:
        """All bytes of the pack, mapped; a private copy on write, so that readers cannot change it."""
        with self._path.open("ab+") as pack:
            if pack.seek(0, os.SEEK_END) == 0:
                return mmap.mmap(-1, 1)
            return mmap.mmap(pack.fileno(), 0, access=mmap.ACCESS_COPY)

    def _ensure_index(self) -> None:
        try:
            self._create_tables()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._refused(error) from error
            # Not a database any more. Without it the packs are bytes without names.
            for path in (self._index, *self.folder.glob("*.pack")):
                with contextlib.suppress(OSError):
                    path.unlink()
            self._create_tables()

    def _create_tables(self) -> None:
        with contextlib.closing(sqlite3.connect(self._index, timeout=PATIENCE)) as index:
            index.executescript(SCHEMA)
            index.execute("SELECT count(*) FROM (SELECT 1 FROM entries LIMIT 1)").fetchone()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # Opened for each use: a connection must not be carried into forked processes.
        try:
            with contextlib.closing(sqlite3.connect(self._index, timeout=PATIENCE, isolation_level=None)) as index:
                # What is lost when the power fails can be made again.
                index.execute("PRAGMA synchronous = OFF")
                yield index
        except sqlite3.OperationalError as error:
            raise self._refused(error) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connection() as index:
                index.execute("BEGIN IMMEDIATE")
                try:
                    yield index
                except BaseException:
                    index.execute("ROLLBACK")
                    raise
                index.execute("COMMIT")
        except OSError as error:
            raise storage_error(self._path, error) from error

    def _refused(self, error: sqlite3.OperationalError) -> Exception:
        return storage_error(self._index, OSError(28 if "full" in str(error) else 5, str(error)))


def aligned(size: int) -> int:
    """A number of bytes, rounded up to where the next value may start."""
    return -(-size // ALIGNMENT) * ALIGNMENT
