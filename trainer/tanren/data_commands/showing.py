"""How plans of changed captions are shown and carried out on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from ..errors import DataError
from ..preparation.caption_edit import CaptionChange, CaptionPlan, carry_out
from .common import counted, journal, raise_all, show, show_json, some


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Options of every command that changes captions."""
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")
    parser.add_argument("--show", type=int, default=10, metavar="N", help="show the first N changes (10)")
    parser.add_argument("--json", action="store_true", help="all changes, for programs")


def finish(plan: CaptionPlan, chosen: argparse.Namespace) -> int:
    """Show a plan, and carry it out unless it is a dry run."""
    if not chosen.dry_run:
        carry_out(plan, journal())
    if chosen.json:
        show_json(plan_as_json(plan, is_done=not chosen.dry_run))
    else:
        show("\n".join(plan_lines(plan, chosen.show, is_done=not chosen.dry_run)))
    raise_all(
        [
            DataError(where=str(one.target), what=f"The caption was left alone: {one.problem}.")
            for one in plan.unreadable
        ]
    )
    return 0


def plan_lines(plan: CaptionPlan, shown: int, *, is_done: bool) -> Iterator[str]:
    """A plan for people."""
    for change in plan.changes[:shown]:
        yield change.caption.target.name + (" (new)" if change.is_new else "")
        yield f"  - {one_line(change.caption.text)}"
        yield f"  + {one_line(change.after)}"
    if len(plan.changes) > shown:
        yield f"… and {len(plan.changes) - shown} more"
    converted = [change.caption.target.name for change in plan.changes if change.is_converted]
    if converted:
        yield f"{counted(len(converted), 'file', 'files')} of another encoding written as UTF-8: {some(converted)}"
    if plan.emptied:
        names = [change.caption.target.name for change in plan.emptied]
        count = counted(len(names), "caption says", "captions say")
        yield f"{count} nothing then, which training refuses: {some(names)}"
    verb = "changed" if is_done else "would change"
    yield f"{counted(len(plan.changes), 'caption', 'captions')} {verb}, {plan.unchanged} unchanged."
    if plan.without_file:
        has = "picture has" if plan.without_file == 1 else "pictures have"
        yield f"{plan.without_file} {has} no caption file; --create makes one for each."
    if plan.changes and is_done:
        yield "`data undo` takes it back."


def plan_as_json(plan: CaptionPlan, *, is_done: bool) -> dict[str, object]:
    """A plan for programs."""
    return {
        "done": is_done,
        "changes": [_change_as_json(change) for change in plan.changes],
        "unchanged": plan.unchanged,
        "unreadable": [{"file": str(one.target), "problem": one.problem} for one in plan.unreadable],
    }


def one_line(text: str, limit: int = 200) -> str:
    """A caption on one line; line ends are shown as ⏎."""
    flat = " ⏎ ".join(line for line in text.split("\n") if line.strip())
    return flat if len(flat) <= limit else f"{flat[:limit]}…"


def _change_as_json(change: CaptionChange) -> dict[str, object]:
    return {
        "picture": str(change.caption.picture),
        "file": str(change.caption.target),
        "before": change.caption.text,
        "after": change.after,
        "new": change.is_new,
        "converted": change.is_converted,
    }
