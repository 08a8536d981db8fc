"""The changes of pictures and captions as the page lists them, and the way back and forth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BusyError, UsageError
from ..paths import resolve_user_path
from ..preparation.journal import Journal
from ..preparation.journal_log import FORGOTTEN, RUNNING, STOPPED, UNDONE, Operation
from ..preparation.journal_room import RULE
from . import data_change_answers
from .answers import Desk
from .data_answers import opened, page_words
from .data_change_answers import journal_of, note_change
from .data_folder import DataFolder
from .words import counted

Body = Mapping[str, Any]
MOST_OPERATIONS = 100


def history(desk: Desk, query: Mapping[str, str]) -> dict[str, Any]:
    """What was changed in a folder or beside it, where copies usually go; the newest first."""
    found = opened(desk, query)
    operations = journal_of(desk).history(_scope(desk, found))
    last_done = max((one.number for one in operations if one.can_be_undone), default=0)
    return {
        "operations": [_operation_told(desk, one, found.folder) for one in reversed(operations[-MOST_OPERATIONS:])],
        "can_undo": last_done > 0,
        "can_redo": any(one.can_be_redone and one.number > last_done for one in operations),
        "rule": page_words(desk)(RULE),
    }


def undo(desk: Desk, body: Body) -> dict[str, Any]:
    """Bring back what was there before a change."""
    return _revert(desk, body, "undo")


def redo(desk: Desk, body: Body) -> dict[str, Any]:
    """Make an undone change again."""
    return _revert(desk, body, "redo")


def forget(desk: Desk, body: Body) -> dict[str, Any]:
    """Throw away what is kept of a change, which cannot be undone then."""
    journal = journal_of(desk)
    number = _number(body, journal, _scope(desk, opened(desk, body)))
    if number is None:
        raise UsageError(where="number", what="This is not a whole number.")
    return {"bytes": journal.forget(number)}


def _scope(desk: Desk, found: DataFolder) -> Path:
    """Where the changes lie that a page may know of: beside the folder too, unless that is not for this page."""
    beside = found.folder.parent
    try:
        return resolve_user_path(str(beside), "folder", policy=desk.surroundings.policy())
    except UsageError:
        return found.folder


def _number(body: Body, journal: Journal, scope: Path) -> int | None:
    """The operation that is asked for, one of those that the page may know of; None when none is named."""
    number = body.get("number")
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int):
        raise UsageError(where="number", what="This is not a whole number.")
    if number not in {one.number for one in journal.history(scope)}:
        raise UsageError(where=str(number), what="There is no operation of this number.")
    return number


def _revert(desk: Desk, body: Body, what: str) -> dict[str, Any]:
    if data_change_answers.workbench().now.is_working:
        raise BusyError(what="Something else is being done to pictures or captions.", fix="Wait for its end.")
    found, journal = opened(desk, body), journal_of(desk)
    scope = _scope(desk, found)
    number = _number(body, journal, scope)
    act = journal.undo if what == "undo" else journal.redo
    outcome = act(number, folder=scope, leave_changed=body.get("leave_changed") is True)
    note_change(desk, found.folder)
    return {"files": len(outcome.paths), "left": list(outcome.left)}


def _operation_told(desk: Desk, operation: Operation, folder: Path) -> dict[str, Any]:
    words = page_words(desk)
    files = words(counted(operation.files, "{count} file", "{count} files"))
    place = Path(operation.folder)
    states = {
        UNDONE: words("is undone"),
        STOPPED: words("ended early"),
        RUNNING: words("is being done"),
        FORGOTTEN: words("can no longer be undone"),
    }
    return {
        "number": operation.number,
        "title": words.finished(operation.title),
        "time": operation.time,
        "files": files,
        "place": "" if place == folder else place.name,
        "state": states.get(operation.state, ""),
        "is_undone": operation.state == UNDONE,
        "can_undo": operation.can_be_undone,
        "can_redo": operation.can_be_redone,
    }
