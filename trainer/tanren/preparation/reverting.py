"""Undoing and redoing: every path goes back to one side of its change, after all have been looked at."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..data.listing import some
from ..disk import SPARE_BYTES, free_bytes, storage_error
from ..errors import ResumeError
from ..files import write_together
from ..folders import sha256_of, sweep
from .journal_log import FILE, FOLDER, HARD_LINK, LINK, UNDOING, Change, Content, Operation, OperationLog, as_line

AT_ONCE = 256


@dataclass(frozen=True)
class Outcome:
    """What undoing or redoing did.

    Args:
        operation: as it was before.
        paths: that are now as they were asked to be.
        left: files that were changed by somebody else and left alone, folders that are not empty.
    """

    operation: Operation
    paths: tuple[str, ...]
    left: tuple[str, ...]


def revert(operation: Operation, begun: str, ended: str, *, leave_changed: bool) -> Outcome:
    """Take an operation's paths to the state before it (UNDOING) or after it (REDOING).

    Args:
        operation: the one.
        begun, ended: events written down before and after.
        leave_changed: pass over files that are on neither side of the change.

    Raises:
        ResumeError: some are on neither side; nothing was touched.
        StorageError: a file could not be written.
    """
    undoes = begun == UNDOING
    changes = operation.changes
    strange = [change.path for change in changes if not _is_on_a_side(change)]
    if strange and not leave_changed:
        raise _refusal(operation, strange, undoes=undoes)
    passed_over = frozenset(strange)
    chosen = [change for change in changes if change.path not in passed_over]
    _remove_leftovers(chosen)
    log = OperationLog(operation.place)
    log.note({"event": begun})
    if undoes:
        _keep_for_redo(chosen, log, operation.place)
    log.sync()
    left = list(strange)
    # Hard links lead to the file that was there when they were made, so they go before it changes and come after.
    if undoes:
        # What was made last goes first, so that folders are empty when their turn comes.
        left += [change.path for change in reversed(chosen) if not _taken_back(change)]
        _restore_all([(change.path, change.before) for change in chosen if change.before is not None], log)
    else:
        for change in sorted(chosen, key=lambda change: change.kind != FOLDER):
            if change.kind not in (LINK, HARD_LINK):
                _make_again(change)
        _restore_all([(change.path, change.kept) for change in chosen if change.kept is not None], log)
        for change in chosen:
            if change.kind in (LINK, HARD_LINK):
                _make_again(change)
    log.note({"event": ended})
    log.sync()
    there = frozenset(left)
    return Outcome(operation, tuple(change.path for change in chosen if change.path not in there), tuple(left))


def _is_on_a_side(change: Change) -> bool:
    """True when the path is as before the change or as after it, so that going either way loses nothing."""
    path = Path(change.path)
    if not os.path.lexists(path):
        return change.is_new or None in (change.after, *change.between) or change.kind != FILE
    if change.kind == FOLDER:
        return path.is_dir()
    if change.kind == LINK:
        return path.is_symlink() and str(path.readlink()) == change.target
    if path.is_dir():
        return False
    if change.kind == HARD_LINK:
        return _is_same_file(path, change.target)
    if change.after == "":
        # Killed before its content was known; whatever is there is kept aside for redoing.
        return True
    return sha256_of(path) in (change.after, *change.between, change.before and change.before.sha256)


def _remove_leftovers(changes: Sequence[Change]) -> None:
    """Take away what writers that were killed left beside the files; it would keep folders from being removed."""
    for folder in {Path(change.path).parent for change in changes}:
        if folder.is_dir():
            sweep(folder, time.time() + 1)


def _is_same_file(path: Path, target: str) -> bool:
    try:
        return path.samefile(target)
    except OSError:
        return False


def _keep_for_redo(changes: Sequence[Change], log: OperationLog, place: Path) -> None:
    """Keep what is there now, if the disk has room for it: without, it can be undone but not done again."""
    present = [Path(change.path) for change in changes if change.kind == FILE]
    needed = sum(path.stat().st_size for path in present if path.is_file())
    if free_bytes(place) < needed + SPARE_BYTES:
        return
    for change in changes:
        path = Path(change.path)
        if change.kind != FILE or change.kept is not None or change.after is None or not os.path.lexists(path):
            continue
        if change.before is not None and sha256_of(path) == change.before.sha256:
            continue
        content = log.keep(path)
        log.note({"kept": change.path, "content": as_line(content)})
        log.note({"outcome": change.path, "after": content.sha256})


def _taken_back(change: Change) -> bool:
    """Remove what was made; False for a folder into which somebody put something."""
    path = Path(change.path)
    try:
        if change.kind == FOLDER:
            with contextlib.suppress(FileNotFoundError):
                if not any(path.iterdir()):
                    path.rmdir()
            return not path.exists()
        if change.is_new and os.path.lexists(path):
            path.unlink()
    except OSError as error:
        raise storage_error(path, error) from error
    return True


def _make_again(change: Change) -> None:
    """Make folders and links again, and remove what was removed; contents follow all at once."""
    path = Path(change.path)
    try:
        if change.kind == FOLDER:
            path.mkdir(exist_ok=True)
        elif change.kind in (LINK, HARD_LINK):
            if not os.path.lexists(path):
                os.link(change.target, path) if change.kind == HARD_LINK else path.symlink_to(change.target)
        elif change.after is None:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


def _restore_all(contents: Sequence[tuple[str, Content]], log: OperationLog) -> None:
    """Put contents back where they are not already; with their modes and times."""
    wanted = [(Path(path), content) for path, content in contents if not _holds(Path(path), content)]
    for start in range(0, len(wanted), AT_ONCE):
        batch = wanted[start : start + AT_ONCE]
        write_together([(path, partial(log.copy_out, content)) for path, content in batch])
        for path, content in batch:
            path.chmod(content.mode)
            # The index of pictures goes by size and time: with its old time a file counts as never changed.
            os.utime(path, ns=(content.modified_ns, content.modified_ns))


def _holds(path: Path, content: Content) -> bool:
    return path.is_file() and path.stat().st_size == content.size and sha256_of(path) == content.sha256


def _refusal(operation: Operation, paths: Sequence[str], *, undoes: bool) -> ResumeError:
    shown = [Path(path).name for path in paths]
    return ResumeError(
        where=operation.title,
        what=f"It cannot be undone: files were changed by somebody else since: {some(shown)}."
        if undoes
        else f"It cannot be done again: files were changed by somebody else since: {some(shown)}.",
        why="Their changes would be lost.",
        fix="Nothing was touched. --leave-changed does it for the other files.",
    )
