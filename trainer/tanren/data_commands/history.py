"""`data undo`, `data redo` and `data history`: the changes, the way back, and the way forth."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from ..disk import size_text
from ..paths import resolve_user_path
from ..preparation.journal import Journal
from ..preparation.journal_log import BEGUN, DONE, FORGOTTEN, REDOING, RUNNING, STOPPED, UNDOING, UNDONE, Operation
from ..preparation.journal_room import RULE
from ..preparation.reverting import Outcome
from .common import counted, journal, show, show_json, some

STATES = {
    DONE: "done",
    UNDONE: "undone",
    STOPPED: "ended early",
    RUNNING: "at work",
    BEGUN: "interrupted",
    UNDOING: "undoing was interrupted",
    REDOING: "redoing was interrupted",
    FORGOTTEN: "no longer kept",
}


def main(words: Sequence[str]) -> int:
    """Run one of the three."""
    name = words[0]
    chosen = _parser(name).parse_args(words[1:])
    folder = resolve_user_path(chosen.folder, "folder", where="--folder") if chosen.folder else None
    if name == "history":
        return _history(journal(), chosen, folder)
    act = journal().undo if name == "undo" else journal().redo
    outcome = act(chosen.number, folder=folder, leave_changed=chosen.leave_changed)
    show_outcome(outcome, "undone" if name == "undo" else "done again")
    return 0


def _parser(name: str) -> argparse.ArgumentParser:
    titles = {
        "undo": "Take the last change back, byte by byte, whenever it was made.",
        "redo": "Make a change that was undone again.",
        "history": "List the changes, the last one at the end.",
    }
    parser = argparse.ArgumentParser(prog=f"data {name}", description=titles[name])
    parser.add_argument("--folder", metavar="FOLDER", help="only changes made here or further inside")
    if name == "history":
        parser.add_argument("--forget", type=int, metavar="NUMBER", help="throw away what is kept of a change for good")
        parser.add_argument("--json", action="store_true", help="for programs")
    else:
        parser.add_argument("number", nargs="?", type=int, metavar="NUMBER", help="of the change (`data history`)")
        parser.add_argument("--leave-changed", action="store_true", help="pass over files that were changed since")
    return parser


def show_outcome(outcome: Outcome, what: str) -> None:
    """Say what undoing or redoing did."""
    operation = outcome.operation
    show(f"{operation.number}: {operation.title} ({operation.folder}): {what}, {_files(len(outcome.paths))}.")
    if outcome.left:
        show(f"  left alone: {some([Path(path).name for path in outcome.left])}")


def _history(changes: Journal, chosen: argparse.Namespace, folder: Path | None) -> int:
    if chosen.forget is not None:
        show(f"{size_text(changes.forget(chosen.forget))} became free; change {chosen.forget} cannot be undone now.")
        return 0
    found = changes.history(folder)
    if chosen.json:
        show_json([_as_json(one) for one in found])
    else:
        show(RULE if found else "Nothing was changed yet.")
    for one in [] if chosen.json else found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.time))
        show(f"{one.number:>5}  {when}  {one.title} ({one.folder}): {_files(one.files)}, {STATES[one.state]}")
    return 0


def _files(count: int) -> str:
    return counted(count, "file", "files")


def _as_json(one: Operation) -> dict[str, object]:
    return {
        "number": one.number,
        "title": one.title,
        "folder": one.folder,
        "time": one.time,
        "state": STATES[one.state],
        "files": [change.path for change in one.changes],
        "can_be_undone": one.can_be_undone,
        "can_be_redone": one.can_be_redone,
    }
