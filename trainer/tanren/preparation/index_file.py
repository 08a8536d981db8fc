"""The file behind the index of pictures: one SQLite file in `<data>/cache`.

It can be made again at any time. So a damaged one is thrown away as soon as that is noticed, and nothing is known then;
one that cannot be written is replaced by memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

SCHEMA = 2
TABLE = (
    "CREATE TABLE IF NOT EXISTS pictures (folder BLOB, name BLOB, picture TEXT, caption TEXT, facts TEXT, look TEXT, "
    "PRIMARY KEY (folder, name)) WITHOUT ROWID"
)
# SQLite's own files beside it, which belong to the damaged one.
BESIDE = ("-wal", "-shm")
# The second: of messages that quote the damaged bytes.
FAULTS = (sqlite3.DatabaseError, UnicodeDecodeError)
Answer = TypeVar("Answer")


class Kept(NamedTuple):
    """What is kept of one picture.

    Args:
        name: of its file.
        picture, caption: marks of the files it holds for.
        facts, look: JSON; `look` is None for a picture that was not decoded.
    """

    name: str
    picture: str
    caption: str
    facts: str
    look: str | None


class IndexFile:
    """The index, opened; may be closed by another thread than the one that opened it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows = self._opened()

    def known(self, folder: str, names: Sequence[str]) -> dict[str, Kept]:
        """What is kept of pictures, by their names.

        Args:
            folder: of the pictures.
            names: in the order of `key_of`.
        """
        question = "SELECT name, picture, caption, facts, look FROM pictures WHERE folder = ? AND name BETWEEN ? AND ?"
        span = key_of(folder), key_of(names[0]), key_of(names[-1])
        nothing: list[tuple[Any, ...]] = []
        rows = self._asked(lambda rows: rows.execute(question, span).fetchall(), nothing)
        found = {row[0]: row[1:] for row in rows}
        return {name: Kept(name, *found[key]) for name in names if (key := key_of(name)) in found}

    def put(self, folder: str, fresh: Sequence[Kept]) -> None:
        """Keep pictures, in the place of what was kept of them."""
        values = [(key_of(folder), key_of(name), *rest) for name, *rest in fresh]
        self._asked(
            lambda rows: _changed(rows, "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?)", values), None
        )

    def forget_others(self, folder: str, names: Sequence[str]) -> None:
        """Keep nothing of a folder but the pictures of these names."""
        there = {key_of(name) for name in names}

        def forget(rows: sqlite3.Connection) -> None:
            known = rows.execute("SELECT name FROM pictures WHERE folder = ?", (key_of(folder),)).fetchall()
            gone = [(key_of(folder), name) for (name,) in known if name not in there]
            _changed(rows, "DELETE FROM pictures WHERE folder = ? AND name = ?", gone)

        self._asked(forget, None)

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(sqlite3.Error):
            self._rows.close()

    def _asked(self, act: Callable[[sqlite3.Connection], Answer], otherwise: Answer) -> Answer:
        try:
            return act(self._rows)
        except sqlite3.OperationalError:
            # Another window may be at the same folder, or the disk is full; the pictures are then read once more.
            return otherwise
        except FAULTS:
            # Damage inside the file shows only where it is read.
            self.close()
            self._throw_away()
            self._rows = self._opened()
            return otherwise

    def _opened(self) -> sqlite3.Connection:
        for _ in range(2):
            with contextlib.suppress(OSError, *FAULTS):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                return _prepared(sqlite3.connect(self._file, timeout=10, check_same_thread=False))
            self._throw_away()
        return _prepared(sqlite3.connect(":memory:", check_same_thread=False))

    def _throw_away(self) -> None:
        for file in (self._file, *(self._file.with_name(self._file.name + ending) for ending in BESIDE)):
            with contextlib.suppress(OSError):
                file.unlink()


def key_of(text: str) -> bytes:
    """A name as it is kept and sorted; names on a disk may hold bytes that are no text."""
    return text.encode("utf-8", "surrogatepass")


def _prepared(rows: sqlite3.Connection) -> sqlite3.Connection:
    try:
        rows.execute("PRAGMA journal_mode = WAL")
        rows.execute("PRAGMA synchronous = OFF")
        if rows.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
            rows.execute("DROP TABLE IF EXISTS pictures")
            rows.execute(f"PRAGMA user_version = {SCHEMA}")
        rows.execute(TABLE)
        rows.commit()
        # Where a name is damaged, nothing could ever be kept.
        rows.execute("SELECT folder, name, picture, caption, facts, look FROM pictures LIMIT 0")
    except FAULTS:
        # A file that is open cannot be thrown away on Windows.
        rows.close()
        raise
    return rows


def _changed(rows: sqlite3.Connection, statement: str, values: Sequence[tuple[object, ...]]) -> None:
    with rows:
        rows.executemany(statement, values)
