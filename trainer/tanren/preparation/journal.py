"""Every change to the user's files, written down before it is made, so that it can be taken back later, byte by byte.

The journal lies in `<data>/journal`, a folder per operation (`journal_log.py`). What a file held is kept there, on the
disk, before the file is touched; files are replaced durably. So whatever kills the process, each file is as it was or
as it was meant to be, and undoing brings all of them back. Undoing first looks at every file and refuses, touching
nothing, when one was changed by somebody else since. How long all this is kept: journal_room.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..disk import check_free_space, storage_error
from ..errors import DataError, UsageError
from ..files import durable_write, sync_folder, write_json, write_together
from ..folders import sha256_of
from ..locks import Lock
from .journal_log import (
    DONE,
    FILE,
    FOLDER,
    FORGOTTEN,
    HARD_LINK,
    LINK,
    OPERATION,
    REDOING,
    RUNNING,
    RUNNING_LOCK,
    SCHEMA,
    STOPPED,
    UNDOING,
    UNDONE,
    Operation,
    OperationLog,
    as_line,
    read_operation,
)
from .journal_room import RULE, make_room
from .reverting import Outcome, revert

FOLDER_NAME, LOCK_NAME = "journal", "journal.lock"
# Intents are forced onto the disk for so many files at once: one at a time costs a second for a hundred captions.
AT_ONCE = 256
LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class Write:
    """A file to be made or replaced.

    Args:
        path: the file.
        content: its bytes.
        expected: its bytes as the caller saw them, None for a file that was not there; anything else there is refused.
    """

    path: Path
    content: bytes
    expected: bytes | None


class Journal:
    """All operations of one data folder."""

    def __init__(self, data: Path) -> None:
        """Open the journal of a data folder; nothing is made before the first change."""
        self._place = data / FOLDER_NAME

    @contextlib.contextmanager
    def operation(self, title: str, folder: Path) -> Iterator[Recorder]:
        """Changes that are undone together; whatever ends the block, what was done until then can be undone.

        Args:
            title: what is done, for people.
            folder: what it is done to.

        Several may be at work at the same time; what they replace or remove, they do one after the other.

        Raises:
            BusyError: others use the journal all the time.
            StorageError: the journal cannot be written.
        """
        with self._locked():
            make_room(self._places())
            place = self._new_place()
            about = {"schema": SCHEMA, "title": title, "folder": str(folder), "time": time.time()}
            write_json(place / OPERATION, about)
            running = Lock(place / RUNNING_LOCK, is_passing=True).acquire(what="The journal of changes")
        with running:
            recorder = Recorder(OperationLog(place), self._locked)
            try:
                yield recorder
            except BaseException:
                recorder.end(STOPPED)
                raise
            finally:
                if not recorder.changed:
                    shutil.rmtree(place, ignore_errors=True)
            if recorder.changed:
                recorder.end(DONE)

    def history(self, folder: Path | None = None) -> list[Operation]:
        """The operations, the oldest first; with `folder`, those done to it or something inside."""
        found = [one for one in map(read_operation, self._places()) if one is not None and one.paths]
        if folder is None:
            return found
        inside = folder.resolve()
        return [one for one in found if Path(one.folder).resolve().is_relative_to(inside)]

    def undo(self, number: int | None = None, *, folder: Path | None = None, leave_changed: bool = False) -> Outcome:
        """Bring back what was there before an operation.

        Args:
            number: of the operation; None: the last one that is not undone.
            folder: look for the last one among those done here.
            leave_changed: undo the rest where files were changed since, instead of refusing.

        Raises:
            UsageError: there is nothing to undo.
            ResumeError: files were changed since; nothing was touched.
        """
        with self._locked():
            history = self.history(folder)
            candidates = [one for one in history if one.can_be_undone]
            operation = _chosen(candidates, number, "There is nothing to undo.", history)
            return revert(operation, UNDOING, UNDONE, leave_changed=leave_changed)

    def redo(self, number: int | None = None, *, folder: Path | None = None, leave_changed: bool = False) -> Outcome:
        """Make an undone operation's changes again; arguments and errors as `undo`.

        Without a number it is the one undone last: the first of the undone ones behind which nothing else was done.
        """
        with self._locked():
            history = self.history(folder)
            last_done = max((one.number for one in history if one.state in (DONE, RUNNING)), default=0)
            undone = [one for one in history if one.can_be_redone]
            if number is None:
                undone = [one for one in undone if one.number > last_done][:1]
            operation = _chosen(undone, number, "There is nothing to redo.", history)
            return revert(operation, REDOING, DONE, leave_changed=leave_changed)

    def forget(self, number: int) -> int:
        """Throw away what is kept of an operation, which cannot be undone then; returns the bytes that became free.

        Raises:
            UsageError: there is no such operation, or it is at work.
            StorageError: it cannot be thrown away now, as on Windows while another program reads it.
        """
        with self._locked():
            place = self._place / f"{number:06d}"
            found = read_operation(place)
            if found is None or found.state == RUNNING:
                raise UsageError(where=str(number), what="There is no operation of this number.")
            try:
                size = sum(file.stat().st_size for file in place.iterdir())
                (place / OPERATION).unlink()
                shutil.rmtree(place)
            except OSError as error:
                raise storage_error(place, error) from error
            return size

    def _locked(self) -> Lock:
        try:
            self._place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self._place, error) from error
        return Lock(self._place / LOCK_NAME).acquire(what="The journal of changes", wait=LOCK_SECONDS)

    def _places(self) -> list[Path]:
        return sorted(self._place.glob("[0-9]" * 6)) if self._place.is_dir() else []

    def _new_place(self) -> Path:
        known = self._places()
        place = self._place / f"{int(known[-1].name) + 1 if known else 1:06d}"
        try:
            place.mkdir()
            sync_folder(self._place)
        except OSError as error:
            raise storage_error(place, error) from error
        return place


class Recorder:
    """Makes changes and writes each down before it is made; given by `Journal.operation`."""

    def __init__(self, log: OperationLog, turn: Callable[[], Lock]) -> None:
        self._log, self._turn = log, turn
        self.changed: list[Path] = []

    def write(self, path: Path, content: bytes, *, expected: bytes | None) -> None:
        """Make or replace one file; see `Write`."""
        self.write_all([Write(path, content, expected)])

    def write_all(self, writes: Iterable[Write]) -> None:
        """Make or replace many small files.

        Raises:
            DataError: a file is no longer as the caller saw it; those before it have been written.
            StorageError: it could not be written.
        """
        batch: list[Write] = []
        for write in writes:
            batch.append(write)
            if len(batch) == AT_ONCE:
                self._write_batch(batch)
                batch = []
        self._write_batch(batch)

    def write_new(self, path: Path, content: bytes) -> None:
        """Make a file of known content that must not exist yet; errors as `create`."""
        refuse_existing(path)
        self.write(path, content, expected=None)

    def create(self, path: Path, write: Callable[[BinaryIO], None], *, expected_bytes: int = 0) -> None:
        """Make a file that must not exist yet.

        Args:
            path: the file; its folder must exist.
            write: fills it.
            expected_bytes: refuse when the disk has no room for so much.

        Raises:
            DataError: there is a file of this name.
            StorageError: it could not be written.
        """
        refuse_existing(path)
        self._intend(path, FILE)
        durable_write(path, write, expected_bytes=expected_bytes)
        self._log.note({"outcome": str(path), "after": sha256_of(path)})

    def replace(self, path: Path, write: Callable[[BinaryIO], None]) -> None:
        """Replace a file by what `write` makes of it; its bytes are kept."""
        check_free_space(path.parent, path.stat().st_size, what=path.name)
        with self._turn():
            self._intend(path, FILE, keeps=True)
            durable_write(path, write)
        self._log.note({"outcome": str(path), "after": sha256_of(path)})

    def remove(self, path: Path) -> None:
        """Remove a file; its bytes are kept."""
        with self._turn():
            self._intend(path, FILE, keeps=True, after=None)
            _or_storage_error(path, path.unlink)

    def make_folder(self, path: Path) -> None:
        """Make a folder and those above it that are missing; folders that are there are fine."""
        missing = [path]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for folder in reversed(missing):
            if not folder.is_dir():
                self._intend(folder, FOLDER)
                _or_storage_error(folder, partial(folder.mkdir, exist_ok=True))

    def link(self, path: Path, target: Path, *, hard: bool = False) -> None:
        """Make a link that must not exist yet.

        Raises:
            DataError: there is something of this name.
            StorageError: the file system has no such links, or they cannot reach there.
        """
        refuse_existing(path)
        self._intend(path, HARD_LINK if hard else LINK, target=str(target))
        _or_storage_error(path, lambda: os.link(target, path) if hard else path.symlink_to(target))

    def end(self, event: str) -> None:
        """Write down how it ended."""
        self._log.note({"event": event})
        self._log.sync()

    def _write_batch(self, batch: Sequence[Write]) -> None:
        if not batch:
            return
        # Nobody else may replace a file between our looking at it and our writing it.
        with self._turn():
            self._write_in_turn(batch)

    def _write_in_turn(self, batch: Sequence[Write]) -> None:
        lines = []
        for write in batch:
            before = self._log.keep(write.path) if os.path.lexists(write.path) else None
            seen = None if write.expected is None else hashlib.sha256(write.expected).hexdigest()
            if (before and before.sha256) != seen:
                raise _changed_meanwhile(write.path)
            after = hashlib.sha256(write.content).hexdigest()
            lines.append({"do": FILE, "path": str(write.path), "before": as_line(before), "after": after, "target": ""})
        for line in lines:
            self._log.note(line)
        self._log.sync()
        self.changed += [write.path for write in batch]
        write_together([(write.path, _writer_of(write.content)) for write in batch])

    def _intend(self, path: Path, kind: str, *, keeps: bool = False, after: str | None = "", target: str = "") -> None:
        before = as_line(self._log.keep(path)) if keeps else None
        self._log.note({"do": kind, "path": str(path), "before": before, "after": after, "target": target})
        self._log.sync()
        self.changed.append(path)


def refuse_existing(path: Path) -> None:
    """Refuse to make what is there already.

    Raises:
        DataError: something of this name is there.
    """
    if os.path.lexists(path):
        raise DataError(
            where=str(path), what="There is something of this name already.", fix="Nothing is overwritten: rename one."
        )


def _writer_of(content: bytes) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(content)

    return write


def _or_storage_error(path: Path, act: Callable[[], object]) -> None:
    try:
        act()
    except OSError as error:
        raise storage_error(path, error) from error


def _changed_meanwhile(path: Path) -> DataError:
    return DataError(
        where=str(path),
        what="This file was changed meanwhile by another program or page.",
        fix="It was left as it is now. Load the folder again, and repeat the change.",
    )


def _chosen(
    candidates: Sequence[Operation], number: int | None, otherwise: str, history: Sequence[Operation]
) -> Operation:
    found = [one for one in candidates if number in (None, one.number)]
    if found:
        return found[-1]
    forgotten = [one for one in history if one.state == FORGOTTEN and number in (None, one.number)]
    if forgotten:
        raise UsageError(
            where=forgotten[-1].title,
            what=f"{otherwise} What files were before this change is no longer kept.",
            why=RULE,
        )
    where = "" if number is None else str(number)
    raise UsageError(where=where, what=otherwise, fix="`data history` lists the changes.")
