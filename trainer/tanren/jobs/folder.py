"""The files of a job folder: who writes each, and how they are read.

spec.json (what to train; written once), runner.json (who starts attempt n), control.json (what is asked of it),
job.lock (held by the trainer for life), progress.json (about once a second), events.jsonl (one event a line), log.txt,
result.json (the trainer's last act), samples/ and checkpoints/. Every file has one writer, and nobody stores a status:
it follows from these files and the lock (`derived.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..events import REQUESTS
from ..files import write_json
from ..folders import faults_of

SPEC, RUNNER, CONTROL, LOCK = "spec.json", "runner.json", "control.json", "job.lock"
PROGRESS, EVENTS, LOG, RESULT = "progress.json", "events.jsonl", "log.txt", "result.json"
SAMPLES, CHECKPOINTS = "samples", "checkpoints"
# Written by a WebUI that gave its model back for the job.
RELEASED = "host.json"
# Where a job stands in the queue (`envelope.py`).
ENVELOPE = "queue.json"
SPEC_VERSION = 1
STOP, AT_ONCE = "stop", "stop at once"
NONCE_VARIABLE = "TANREN_JOB_NONCE"
DEVICE_LOCK_VARIABLE = "TANREN_DEVICE_LOCK"


@dataclass(frozen=True)
class Spec:
    """What a job trains.

    Args:
        command: such as "train_network".
        options: those the user set, by name, as JSON; never secrets.
        version: of this format.
    """

    command: str
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int = SPEC_VERSION


@dataclass(frozen=True)
class Runner:
    """Who starts an attempt; written before the start, and again, with the process, after it.

    Args:
        attempt: 1 is the first.
        nonce: names this start; the trainer finds it in its environment.
        pid, started, boot: the process (`process.Identity`), None before it exists.
        device: what it was started on; empty when it was started by hand.
    """

    attempt: int
    nonce: str
    pid: int | None = None
    started: str = ""
    boot: str = ""
    device: str = ""


def write_spec(folder: Path, spec: Spec) -> None:
    """Write what to train into a new job folder; it is never changed after that."""
    content = {"version": spec.version, "command": spec.command, "options": dict(spec.options)}
    write_json(folder / SPEC, content)


def read_spec(folder: Path) -> Spec | None:
    """What a job trains, or None when the folder has no spec yet.

    Raises:
        UsageError: unreadable, of a newer version, or not a spec.
    """
    path = folder / SPEC
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(where=str(path), what="It cannot be read.", why=str(error), fix="Make a new job.") from error
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > SPEC_VERSION:
        raise UsageError(
            where=str(path),
            what=f"It was written by a newer version (format {version}; this one reads {SPEC_VERSION}).",
            fix="Update, or make a new job.",
        )
    if (
        version != SPEC_VERSION
        or not isinstance(content.get("command"), str)
        or not isinstance(content.get("options"), dict)
    ):
        raise UsageError(where=str(path), what="It is not the spec of a job.", fix="Make a new job.")
    unknown = sorted(set(content) - {"version", "command", "options"})
    if unknown:
        raise UsageError(where=str(path), what=f"It has unknown entries: {', '.join(unknown)}.", fix="Remove them.")
    return Spec(content["command"], content["options"], version)


def read_runner(folder: Path) -> Runner | None:
    """Who starts or started the newest attempt, or None."""
    content = read_object(folder / RUNNER)
    try:
        return Runner(**content) if content else None
    except TypeError:
        return None


def ask(folder: Path, requests: Iterable[str], attempt: int) -> int:
    """Ask a job to stop, save or sample, and return the number of the request.

    Args:
        folder: of the job.
        requests: any of `events.REQUESTS`; AT_ONCE tells other observers that the attempt is being ended.
        attempt: the one that is meant; a later one does not listen.
    """
    before = read_object(folder / CONTROL)
    # A wish to stop stays one, whatever else is asked before the trainer has looked.
    lasting = {STOP, AT_ONCE}.intersection(before.get("requests", ())) if before.get("attempt") == attempt else set()
    wanted = sorted({*requests, *lasting})
    assert all(request in (*REQUESTS, AT_ONCE) for request in wanted), wanted
    sequence = int(before.get("sequence", 0)) + 1
    write_json(folder / CONTROL, {"sequence": sequence, "attempt": attempt, "requests": wanted})
    return sequence


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one when the file is missing or cannot be read at this moment."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_job(folder: Path) -> bool:
    """True when a folder holds what a job is known by."""
    return any((folder / name).is_file() for name in (ENVELOPE, SPEC, RUNNER))


def bytes_below(folder: Path) -> int:
    """Size of all files in a folder and in those below it; what cannot be looked at counts as nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(path, name).lstat().st_size
    return total


def has_checkpoint(folder: Path) -> bool:
    """True when a whole state is there to resume from; sizes are compared, bytes when it is used."""
    return checkpoint_step(folder) is not None


def checkpoint_step(folder: Path) -> int | None:
    """Step of the newest whole state to resume from, None without one."""
    states = sorted((folder / CHECKPOINTS).glob("step-*"), reverse=True)
    whole = (state for state in states if not faults_of(state, hashes=False))
    step = next(whole, None)
    digits = step.name.removeprefix("step-") if step else ""
    return int(digits) if digits.isascii() and digits.isdecimal() else None
