"""The pictures of folders with what is known of them, kept in a file, so that the second look is quick.

One SQLite file in `<data>/cache`. A row is used again as long as size and time of the picture and its caption stay the
same. The file can be made again at any time, so a damaged one is thrown away, and one that cannot be written is
replaced by memory. Rows are given out while they are read, a few hundred in memory at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..data.listing import Listing, list_folder, stem_of
from ..errors import Problems
from .caption_files import AUTO
from .facts import (
    CaptionFacts,
    LookFacts,
    PictureFacts,
    caption_facts,
    caption_names_of,
    header_facts,
    look_facts,
)

NAME = "pictures.sqlite"
SCHEMA = 2
AT_ONCE, DECODED_AT_ONCE = 500, 25
TABLE = (
    "CREATE TABLE IF NOT EXISTS pictures (folder BLOB, name BLOB, picture TEXT, caption TEXT, facts TEXT, look TEXT, "
    "PRIMARY KEY (folder, name)) WITHOUT ROWID"
)


@dataclass(frozen=True)
class Wanted:
    """How a folder is looked at.

    Args:
        first_suffix: of captions; it goes before the others where a picture has several.
        encoding: of captions that are not in UTF-8.
        decode: also decode the pictures, which takes a thousand times as long the first time.
        should_stop: asked before each picture.
    """

    first_suffix: str = ".txt"
    encoding: str = AUTO
    decode: bool = False
    should_stop: Callable[[], bool] = lambda: False


class PictureIndex:
    """Rows of pictures by folder and name."""

    def __init__(self, cache: Path) -> None:
        """Open the index in a cache folder; nothing is read yet."""
        self._file = cache / NAME

    def survey(
        self, folder: Path, wanted: Wanted, problems: Problems | None = None, listing: Listing | None = None
    ) -> Iterator[PictureFacts]:
        """The pictures of one folder in the order of their names; the index is brought up to date on the way.

        Args:
            folder: looked at without its sub-folders.
            wanted: what is to be known.
            problems: told about links that lead nowhere and the like.
            listing: of the folder, when it was listed just now.
        """
        listing = listing or list_folder(str(folder), problems or Problems())
        names = sorted(listing.pictures, key=_key)
        size = DECODED_AT_ONCE if wanted.decode else AT_ONCE
        with contextlib.closing(self._opened()) as rows:
            for start in range(0, len(names), size):
                fresh: list[tuple[Any, ...]] = []
                try:
                    yield from _surveyed(rows, listing, names[start : start + size], wanted, fresh)
                finally:
                    _put(rows, fresh)
                if wanted.should_stop():
                    return
            _forget(rows, str(folder), set(names))

    def _opened(self) -> sqlite3.Connection:
        # A walk that nobody finishes may be closed by another thread than the one that began it.
        for _ in range(2):
            with contextlib.suppress(OSError, sqlite3.Error):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                return _prepared(sqlite3.connect(self._file, timeout=10, check_same_thread=False))
            with contextlib.suppress(OSError):
                self._file.unlink()
        return _prepared(sqlite3.connect(":memory:"))


def usual_suffix(listing: Listing) -> str:
    """The suffix that most caption files of a folder have; `.txt` where there are none."""
    counts = {suffix: sum(name.lower().endswith(suffix) for name in listing.names) for suffix in (".txt", ".caption")}
    return ".caption" if counts[".caption"] > counts[".txt"] else ".txt"


def _prepared(rows: sqlite3.Connection) -> sqlite3.Connection:
    rows.execute("PRAGMA journal_mode = WAL")
    rows.execute("PRAGMA synchronous = OFF")
    if rows.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
        rows.execute("DROP TABLE IF EXISTS pictures")
        rows.execute(f"PRAGMA user_version = {SCHEMA}")
    rows.execute(TABLE)
    rows.commit()
    return rows


def _surveyed(
    rows: sqlite3.Connection, listing: Listing, names: Sequence[str], wanted: Wanted, fresh: list[tuple[Any, ...]]
) -> Iterator[PictureFacts]:
    """The rows of some names; those that are new or changed are put into `fresh`."""
    known = {name: row for name, *row in _known(rows, listing.folder, names)}
    for name in names:
        if wanted.should_stop():
            return
        try:
            status = os.stat(f"{listing.folder}{os.sep}{name}")  # noqa: PTH116 (a Path each is half of the time)
        except OSError:
            # It vanished between listing and looking.
            continue
        captions = captions_beside(listing, name, wanted.first_suffix)
        marks = (f"{status.st_size}:{status.st_mtime_ns}", _mark(listing.folder, captions, wanted.encoding))
        row, is_new = _row(listing.folder, name, status, captions, marks, known.get(_key(name)), wanted.encoding)
        if wanted.decode and row.look is None and not row.problem:
            row, is_new = replace(row, look=look_facts(row.path)), True
        if is_new:
            fresh.append((_key(listing.folder), _key(name), *marks, _facts_text(row), _look_text(row.look)))
        yield row


def _row(
    folder: str,
    name: str,
    status: os.stat_result,
    captions: Sequence[str],
    marks: tuple[str, str],
    known: Sequence[str] | None,
    encoding: str,
) -> tuple[PictureFacts, bool]:
    """The row of a picture, from what is known as far as its marks are the same; and whether anything was read."""
    if known is not None and tuple(known[:2]) == marks:
        return _from_texts(folder, name, known[2], known[3]), False
    others = tuple(captions[1:])
    caption = caption_facts(f"{folder}{os.sep}{captions[0]}", others, encoding) if captions else CaptionFacts()
    if known is not None and known[0] == marks[0]:
        return replace(_from_texts(folder, name, known[2], known[3]), caption=caption), True
    return header_facts(folder, name, status, caption), True


def captions_beside(listing: Listing, name: str, first_suffix: str) -> list[str]:
    """The caption files of a picture, the one that is used first."""
    found = (listing.find(candidate) for candidate in caption_names_of(stem_of(name), first_suffix))
    return list(dict.fromkeys(one for one in found if one is not None))


def _mark(folder: str, captions: Sequence[str], encoding: str) -> str:
    """What a row of a caption holds for: its file as it is, read in an encoding."""
    if not captions:
        return ""
    try:
        status = os.stat(f"{folder}{os.sep}{captions[0]}")  # noqa: PTH116
    except OSError:
        return "|".join(captions)
    return "|".join([*captions, encoding, str(status.st_size), str(status.st_mtime_ns)])


def _known(rows: sqlite3.Connection, folder: str, names: Sequence[str]) -> Iterable[Any]:
    question = "SELECT name, picture, caption, facts, look FROM pictures WHERE folder = ? AND name BETWEEN ? AND ?"
    return rows.execute(question, (_key(folder), _key(names[0]), _key(names[-1]))).fetchall()


def _put(rows: sqlite3.Connection, fresh: Sequence[tuple[Any, ...]]) -> None:
    # Another window may be at the same folder; the row is then written by it, or again the next time.
    with contextlib.suppress(sqlite3.OperationalError):
        rows.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?)", fresh)
        rows.commit()


def _forget(rows: sqlite3.Connection, folder: str, there: set[str]) -> None:
    known = [name for (name,) in rows.execute("SELECT name FROM pictures WHERE folder = ?", (_key(folder),))]
    keys = {_key(name) for name in there}
    gone = [(_key(folder), name) for name in known if name not in keys]
    with contextlib.suppress(sqlite3.OperationalError):
        rows.executemany("DELETE FROM pictures WHERE folder = ? AND name = ?", gone)
        rows.commit()


def _key(text: str) -> bytes:
    # Names on a disk may hold bytes that are no text.
    return text.encode("utf-8", "surrogatepass")


def _facts_text(row: PictureFacts) -> str:
    values = asdict(replace(row, folder="", name="", look=None))
    return json.dumps({key: value for key, value in values.items() if key not in ("folder", "name", "look")})


def _look_text(look: LookFacts | None) -> str | None:
    return None if look is None else json.dumps([look.look, look.is_transparent, look.problem])


def _from_texts(folder: str, name: str, facts: str, look: str | None) -> PictureFacts:
    values = json.loads(facts)
    # A handful of words in a hundred thousand rows: one object each.
    values["kind"] = sys.intern(values["kind"])
    caption = values.pop("caption")
    caption["encoding"] = sys.intern(caption["encoding"])
    caption = CaptionFacts(**{**caption, "others": tuple(caption["others"])})
    seen = None if look is None else LookFacts(*json.loads(look))
    return PictureFacts(folder=folder, name=name, caption=caption, look=seen, **values)
