"""The records of one operation: what was done to which file, and the bytes that were there before.

A folder per operation: `operation.json` (what it is called), `log.jsonl` (one line per intent or outcome, only ever
appended) and `kept.bin` (contents, one behind the other; the lines say where). A torn last line, or bytes at the end of
`kept.bin` that no line names, are what a killed process leaves; both are passed over. Of an operation that is forgotten
(journal_room.py) only `operation.json` stays, which says so.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from ..disk import storage_error
from ..errors import ResumeError
from ..files import cut_torn_line, read_lines
from ..locks import lock_holder

OPERATION, LOG, KEPT = "operation.json", "log.jsonl", "kept.bin"
# Held while the process of an operation is at work.
RUNNING_LOCK = "running.lock"
SCHEMA = 1
BLOCK_BYTES = 2**20
FILE, FOLDER, LINK, HARD_LINK = "file", "folder", "link", "hard link"
BEGUN, DONE, STOPPED, UNDOING, UNDONE, REDOING = "begun", "done", "stopped", "undoing", "undone", "redoing"
# Never written down: BEGUN, while its process is still at work; and what `operation.json` alone says.
RUNNING, FORGOTTEN = "running", "forgotten"
# Operations whose outlines are kept in memory: a page asks for all of them again and again.
OUTLINES = 4000


@dataclass(frozen=True)
class Content:
    """Bytes in `kept.bin`, with what the file system said of their file.

    Args:
        at, size: place in `kept.bin`.
        sha256: of the bytes, hex.
        mode: permission bits.
        modified_ns: time of the last change.
    """

    at: int
    size: int
    sha256: str
    mode: int
    modified_ns: int


@dataclass(frozen=True)
class Change:
    """What became of one path.

    Args:
        path: absolute.
        kind: FILE, FOLDER, LINK or HARD_LINK; the last three are only ever made, never replaced.
        before: what was there; None: nothing.
        after: SHA-256 of what is there now; None: nothing, empty: not known, the process was killed.
        kept: what is there after it, once undoing has set it aside for redoing.
        target: where a link leads.
        between: SHA-256 of what else it held within the operation.
    """

    path: str
    kind: str = FILE
    before: Content | None = None
    after: str | None = ""
    kept: Content | None = None
    target: str = ""
    between: tuple[str | None, ...] = ()

    @property
    def is_new(self) -> bool:
        """True when nothing was there before."""
        return self.before is None


@dataclass(frozen=True)
class Operation:
    """One entry of the journal.

    Args:
        number: counts up from 1.
        title: what was done, for people.
        folder: what it was done to.
        time: unix seconds.
        state: DONE, UNDONE, STOPPED (it ended early), RUNNING, FORGOTTEN; BEGUN, UNDOING and REDOING were interrupted.
        files: how many files (and links) it changed or made.
        paths: the same with the folders it made.
        is_kept_whole: what it made can be made again.
        place: its folder in the journal.
    """

    number: int
    title: str
    folder: str
    time: float
    state: str
    files: int
    paths: int
    is_kept_whole: bool
    place: Path

    @property
    def changes(self) -> tuple[Change, ...]:
        """One for each path, in the order of their first change; read from the journal each time.

        Raises:
            OSError, ValueError: it was forgotten or damaged meanwhile.
        """
        return _read_log(self.place)[0]

    @property
    def can_be_undone(self) -> bool:
        """True unless it is undone completely, forgotten, or still at work."""
        return self.state not in (UNDONE, RUNNING, FORGOTTEN) and self.paths > 0

    @property
    def can_be_redone(self) -> bool:
        """True when it was undone, or redoing it was interrupted."""
        return self.state in (UNDONE, REDOING) and self.is_kept_whole


class OperationLog:
    """Appends to the records of one operation; used by one process at a time, which holds the journal's lock."""

    def __init__(self, place: Path) -> None:
        self._log, self._kept = place / LOG, place / KEPT
        cut_torn_line(self._log)
        self._lines: list[str] = []

    def note(self, line: Mapping[str, Any]) -> None:
        """Remember a line; `sync` writes it."""
        self._lines.append(json.dumps(line) + "\n")

    def keep(self, path: Path) -> Content:
        """Copy a file's bytes behind the others; they are on the disk after `sync`."""
        digest = hashlib.sha256()
        try:
            with path.open("rb") as source, self._kept.open("ab") as kept:
                at = kept.seek(0, os.SEEK_END)
                while block := source.read(BLOCK_BYTES):
                    digest.update(block)
                    kept.write(block)
                facts = os.fstat(source.fileno())
                size = kept.tell() - at
        except OSError as error:
            raise storage_error(self._kept, error) from error
        return Content(at, size, digest.hexdigest(), facts.st_mode & 0o7777, facts.st_mtime_ns)

    def sync(self) -> None:
        """Force everything kept and noted so far onto the disk; only then may the files be touched."""
        try:
            if self._kept.exists():
                _sync(self._kept, [])
            _sync(self._log, self._lines)
        except OSError as error:
            raise storage_error(self._log, error) from error
        self._lines = []

    def copy_out(self, content: Content, file: BinaryIO) -> None:
        """Write kept bytes into an open file.

        Raises:
            ResumeError: the journal was damaged.
        """
        digest = hashlib.sha256()
        left = content.size
        with self._kept.open("rb") as kept:
            kept.seek(content.at)
            while left and (block := kept.read(min(left, BLOCK_BYTES))):
                digest.update(block)
                file.write(block)
                left -= len(block)
        if digest.hexdigest() != content.sha256:
            raise ResumeError(
                where=str(self._kept), what="What was kept of a file is damaged.", fix=f"See {self._log}."
            )


def read_operation(place: Path) -> Operation | None:
    """One entry; None when it was never begun, or is damaged or of another version."""
    try:
        found = _outline(place, _marks(place / OPERATION), _marks(place / LOG))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    is_running = found.state == BEGUN and lock_holder(place / RUNNING_LOCK) is not None
    return replace(found, state=RUNNING) if is_running else found


def as_line(content: Content | None) -> list[Any] | None:
    """How a content stands in a line."""
    fields = content and (content.at, content.size, content.sha256, content.mode, content.modified_ns)
    return list(fields) if fields else None


@dataclass
class _Reader:
    changes: dict[str, Change] = field(default_factory=dict)
    state: str = BEGUN

    def read(self, line: dict[str, Any]) -> None:
        if "event" in line:
            self.state = line["event"]
        elif "kept" in line:
            self._set(line["kept"], kept=_content(line["content"]))
        elif "outcome" in line:
            self._set(line["outcome"], after=line["after"])
        else:
            change = Change(line["path"], line["do"], _content(line["before"]), line["after"], target=line["target"])
            known = self.changes.get(change.path)
            # Changed a second time: what was there before all of it is what undoing brings back.
            if known is not None:
                change = replace(change, before=known.before, between=(*known.between, known.after))
            self.changes[change.path] = change

    def _set(self, path: str, **values: Any) -> None:
        if path in self.changes:
            self.changes[path] = replace(self.changes[path], **values)


@lru_cache(maxsize=OUTLINES)
def _outline(place: Path, *_: tuple[int, int] | None) -> Operation:
    about = json.loads((place / OPERATION).read_text("utf-8"))
    if about["schema"] != SCHEMA:
        raise ValueError(f"schema {about['schema']}")
    known = (int(place.name), str(about["title"]), str(about["folder"]), float(about["time"]))
    if "forgotten" in about:
        return Operation(*known, FORGOTTEN, int(about["files"]), int(about["files"]), False, place)
    changes, state = _read_log(place)
    files = sum(change.kind != FOLDER for change in changes)
    return Operation(*known, state, files, len(changes), all(map(_is_redoable, changes)), place)


def _marks(path: Path) -> tuple[int, int] | None:
    """Other ones when the file is another."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_size, facts.st_mtime_ns


def _read_log(place: Path) -> tuple[tuple[Change, ...], str]:
    """The changes of an operation, and its last event."""
    reader = _Reader()
    for line in read_lines(place / LOG):
        reader.read(json.loads(line))
    return tuple(reader.changes.values()), reader.state


def _content(fields: list[Any] | None) -> Content | None:
    return Content(*fields) if fields else None


def _is_redoable(change: Change) -> bool:
    is_same = change.before is not None and change.after == change.before.sha256
    return change.kind != FILE or change.after is None or is_same or change.kept is not None


def _sync(path: Path, lines: list[str]) -> None:
    with path.open("ab") as file:
        file.write("".join(lines).encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
