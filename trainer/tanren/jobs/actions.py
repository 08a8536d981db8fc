"""What can be asked of a job in each of its states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BusyError, UsageError, UserError
from .derived import COMPLETED, DRAFT, FAILED, INTERRUPTED, QUEUED, RUNNING, STALLED, STARTING, STOPPED, STOPPING

if TYPE_CHECKING:
    from .shelved import Job

WORDS = {
    "stop": "stopped",
    "stop_now": "stopped at once",
    "save": "asked to save",
    "sample": "asked for pictures",
    "pause": "paused",
    "resume": "continued",
    "submit": "started",
    "withdraw": "withdrawn",
    "retry": "tried again",
    "delete": "deleted",
}


def legal(job: Job) -> list[str]:
    """Actions that mean something for the job now, in the order of buttons."""
    look = job.look()
    if look.state in (STARTING, RUNNING, STALLED, STOPPING):
        return _of_a_running_one(job)
    if look.state == QUEUED:
        place, (first, last) = job.envelope().order, job.shelf.queue_borders()
        moves = [*(["up"] if place > first else []), *(["down"] if place < last else [])]
        return ["withdraw", *moves, *([] if look.is_active else ["delete"])]
    can_start = _is_readable(job)
    again = ["resume"] if look.is_resumable else ["submit"]
    table = {
        DRAFT: ["submit", "retry"],
        COMPLETED: ["retry"],
        STOPPED: [*again, "retry"],
        FAILED: [*again, "retry"],
        INTERRUPTED: [*again, "retry"],
    }
    # One that has just ended may still be on its way out.
    return [*(table[look.state] if can_start else []), *([] if look.is_active else ["delete"])]


def refused(job: Job, action: str) -> UserError:
    """Why an action is not possible now."""
    look = job.look()
    name = job.envelope().name or job.id
    what = f"{name!r} is {look.state}, so it cannot be {WORDS.get(action, action)}."
    if action == "stop_now" and look.is_by_hand and look.is_active:
        fix = "It was started at a shell: stop it there with Ctrl-C, or let it stop after saving."
        return UsageError(where=job.id, what=f"{name!r} was not started here.", fix=fix)
    if action == "delete":
        return BusyError(where=job.id, what=what, fix="Stop it first.")
    return UsageError(where=job.id, what=what, fix="Look at the job again; it may have changed meanwhile.")


def _of_a_running_one(job: Job) -> list[str]:
    look = job.look()
    at_once = [] if look.is_by_hand else ["stop_now"]
    if look.state == STOPPING:
        return at_once
    # It listens while it trains; before that only a wish to stop lasts.
    while_training = ["save", *(["sample"] if _has_prompts(job) else [])] if look.state != STARTING else []
    return ["stop", *at_once, "pause", *while_training]


def _has_prompts(job: Job) -> bool:
    try:
        return bool(job.spec().options.get("sample_prompts"))
    except UserError:
        return False


def _is_readable(job: Job) -> bool:
    try:
        job.spec()
    except UserError:
        return False
    return True
