"""What a page shows of a job: plain JSON, without secrets, read anew only where files have changed."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..commands import COMMANDS
from ..errors import UsageError, UserError
from ..masking import mask, masked, secrets_of_environment
from ..options.convert import as_file_value
from ..options.parse import options_by_name
from .derived import COMPLETED, DRAFT, FAILED, INTERRUPTED, QUEUED, STALLED, STARTING, STOPPED, STOPPING
from .folder import (
    CONTROL,
    EVENTS,
    LOCK,
    LOG,
    PROGRESS,
    RESULT,
    Spec,
    checkpoint_step,
    read_object,
    read_runner,
)
from .history import History, pace, points_since
from .shelved import WATCHED, Job, Look
from .terminal_text import read_terminal
from .watching import grace_seconds

CREATED = re.compile(r"\d{8}-\d{6}")


def summary(job: Job) -> dict[str, Any]:
    """The facts of a job that a list shows."""
    look = job.look()
    names = (*WATCHED, CONTROL, PROGRESS, EVENTS) if look.is_active else WATCHED
    key = (look, job.signature(names), job.shelf.queue_borders() if look.state == QUEUED else None)
    known = job.notes.get("summary")
    if known is None or known[0] != key:
        known = key, masked(_summary(job, look), secrets_of_environment())
        job.notes["summary"] = known
    return dict(known[1])


def detail(job: Job, since: int = 0) -> dict[str, Any]:
    """Everything a page of one job shows.

    Args:
        since: `next` of the answer before; `points` then holds only what came after it. A point replaces an earlier one
            of the same step.
    """
    history = _history(job)
    points, following, more = points_since(job.folder, since)
    told = {
        "samples": [_sample(sample) for sample in history.samples],
        "files": [_file(file) for file in history.files],
        "warnings": history.warnings,
        "problem": _problem(job),
        "settings": _settings(job),
    }
    return {
        **summary(job),
        "points": points,
        "next": following,
        "more": more,
        **masked(told, secrets_of_environment()),
    }


def log_text(job: Job, since: int = 0) -> dict[str, Any]:
    """The trainer's output from a byte offset on, at first only its end.

    `text` holds whole lines, `unfinished` the line that is being written, such as a progress bar in its present form.
    """
    read = read_terminal(job.folder / LOG, since)
    known = secrets_of_environment()
    return {
        "text": mask(read.text, known),
        "unfinished": mask(read.unfinished, known),
        "next": read.next,
        "more": read.more,
    }


def sample_path(job: Job, file: str) -> Path:
    """Where a sample picture lies that `detail` names.

    Raises:
        UsageError: the job has drawn none of that name, or it is gone.
    """
    return _listed(job, [sample["path"] for sample in _history(job).samples], file)


def file_path(job: Job, file: str) -> Path:
    """Where a file lies that `detail` lists, by its name.

    Raises:
        UsageError: the job has written none of that name, or it is gone.
    """
    return _listed(job, [written["path"] for written in _history(job).files], file)


def _listed(job: Job, paths: list[str], name: str) -> Path:
    found = next((Path(path) for path in reversed(paths) if Path(path).name == name), None)
    found = found if found is None or found.is_absolute() else Path(job.envelope().cwd or job.folder, found)
    if found is None or not found.is_file():
        raise UsageError(where=name[:200], what="The job has no such file (any more).")
    return found


def _history(job: Job) -> History:
    history = job.notes.setdefault("history", History(job.folder))
    assert isinstance(history, History)
    return history.look()


def _summary(job: Job, look: Look) -> dict[str, Any]:
    envelope, spec = job.envelope(), _spec(job)
    progress, result = read_object(job.folder / PROGRESS), read_object(job.folder / RESULT)
    lock = read_object(job.folder / LOCK) if look.state not in (QUEUED, DRAFT) else {}
    is_over = look.state in (COMPLETED, STOPPED, FAILED, INTERRUPTED)
    has_result = look.state != INTERRUPTED and not look.is_unsaved
    usual, mean = pace(job.folder, is_active=look.is_active)
    step, total = progress.get("step"), progress.get("total_steps")
    left = None
    if look.is_active and not is_over and isinstance(step, int) and isinstance(total, int) and mean is not None:
        left = (total - step) * mean
    return {
        "id": job.id,
        "name": envelope.name or job.id,
        "command": spec.command if spec else None,
        "title": COMMANDS[spec.command].title if spec and spec.command in COMMANDS else "",
        "state": look.state,
        "is_resumable": look.is_resumable,
        "resume_step": checkpoint_step(job.folder) if look.is_resumable else None,
        "is_paused": envelope.is_paused and look.state in (STOPPED, STOPPING),
        "is_by_hand": look.is_by_hand,
        "is_unsaved": look.is_unsaved,
        "code": look.code,
        **_phase(look, progress),
        "step": step,
        "total_steps": total,
        "epoch": progress.get("epoch"),
        "total_epochs": progress.get("total_epochs"),
        "loss": progress.get("loss"),
        "average": progress.get("average"),
        "seconds_per_step": usual,
        "eta_seconds": left,
        "memory": progress.get("memory"),
        "device": job.device(),
        "created": envelope.created or _created(job.id),
        "started": lock.get("time"),
        "ended": (result if has_result else progress).get("time") if is_over else None,
        "order": envelope.order,
        "attempt": look.attempt,
        "retry_of": envelope.retry_of,
        "grace_seconds": grace_seconds(job.folder) if look.state == STOPPING else None,
        "reason": _reason(job, look, result),
        "actions": job.actions(),
        "sample": Path(progress["sample"]).name if isinstance(progress.get("sample"), str) else None,
    }


def _phase(look: Look, progress: Mapping[str, Any]) -> dict[str, Any]:
    is_told = look.is_active and progress.get("attempt") == look.attempt
    return {name: progress.get(name) if is_told else None for name in ("phase", "done", "total")}


def _reason(job: Job, look: Look, result: Mapping[str, Any]) -> str:
    """One sentence about why the job stands as it does; empty when its state says all."""
    if look.state == QUEUED:
        waiting = job.envelope().waiting
        return str(waiting.get("what", "")) if waiting else ""
    if look.state == STARTING:
        return "The trainer is starting."
    if look.state == STALLED:
        return "Nothing was heard of it for more than five minutes. It is left alone; it may be at a very long step."
    if look.is_unsaved:
        return "It was ended at once, without saving."
    if look.state == INTERRUPTED:
        runner = read_runner(job.folder)
        if runner is not None and not look.is_by_hand and read_object(job.folder / LOCK).get("nonce") != runner.nonce:
            return "The trainer ended before it could begin; its log tells why."
        return "Its process is gone: it was killed, ran out of memory, or the machine went down."
    if look.state in (COMPLETED, STOPPED, FAILED):
        return str(result.get("reason") or "")
    return ""


def _problem(job: Job) -> dict[str, Any] | None:
    """What went wrong, as `UserError.as_dict` tells it."""
    try:
        job.spec()
    except UserError as error:
        return error.as_dict()
    look = job.look()
    if look.state == QUEUED:
        waiting = job.envelope().waiting
        return dict(waiting) if waiting else None
    if look.state != FAILED:
        return None
    result = read_object(job.folder / RESULT)
    problem = result.get("problem")
    if isinstance(problem, dict):
        return problem
    fix = "The end of the log tells more; please report it."
    return {"code": look.code, "where": "", "what": str(result.get("reason") or "It failed."), "why": "", "fix": fix}


def _settings(job: Job) -> list[dict[str, Any]]:
    """All options of the job's command with their frozen values, those that were set first."""
    spec = _spec(job)
    if spec is None:
        return []
    known = job.notes.get("settings")
    if known is None:
        given = [{"name": name, "value": value, "is_default": False} for name, value in spec.options.items()]
        known = job.notes["settings"] = given + _defaults(spec)
    assert isinstance(known, list)
    return known


def _defaults(spec: Spec) -> list[dict[str, Any]]:
    if spec.command not in COMMANDS:
        return []
    return [
        {"name": name, "value": as_file_value(option, option.default), "is_default": True}
        for name, option in options_by_name(COMMANDS[spec.command].groups).items()
        if name not in spec.options and not option.text.secret
    ]


def _sample(sample: Mapping[str, Any]) -> dict[str, Any]:
    return {"file": Path(sample["path"]).name, **{name: value for name, value in sample.items() if name != "path"}}


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    path = Path(file["path"])
    try:
        size: int | None = path.stat().st_size
    except OSError:
        size = None
    return {"name": path.name, **file, "bytes": size, "exists": size is not None}


def _spec(job: Job) -> Spec | None:
    try:
        return job.spec()
    except UserError:
        return None


def _created(job_id: str) -> float | None:
    found = CREATED.match(job_id)
    try:
        return time.mktime(time.strptime(found[0], "%Y%m%d-%H%M%S")) if found else None
    except (ValueError, OverflowError):
        return None
