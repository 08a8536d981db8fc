"""Deleting jobs: first into `<data>/trash`, from where they can be put back; for good only when somebody asks.

For good means: files that a job folder is known to hold. What anybody else has put there stays.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import storage_error
from ..errors import BusyError, UsageError
from ..files import read_lines
from ..folders import MANIFEST, read_manifest, remove_folder, sweep
from ..locks import Lock
from ..options.contents import FILES, SUFFIXES
from ..options.saving import result_of
from . import actions
from .envelope import read_envelope
from .folder import (
    CHECKPOINTS,
    CONTROL,
    ENVELOPE,
    EVENTS,
    LOCK,
    LOG,
    PROGRESS,
    RELEASED,
    RESULT,
    RUNNER,
    SPEC,
    bytes_below,
    is_job,
)

if TYPE_CHECKING:
    from .shelf import Shelf
    from .shelved import Job

COPIES = tuple(Path(FILES[option]).with_suffix(suffix).name for option in FILES for suffix in SUFFIXES[option])
OURS = (ENVELOPE, CONTROL, LOCK, PROGRESS, EVENTS, LOG, RESULT, RELEASED, *COPIES, RUNNER, SPEC)
OUTPUTS = "outputs"
# A file that was written later than this after the job said so is another job's.
LATE_SECONDS = 5.0


@dataclass(frozen=True)
class TrashedJob:
    """A job in the trash.

    Args:
        id: name of its folder there.
        name: for people.
        created: seconds since 1970; 0 when that is not known.
        bytes: that go when it is removed for good.
    """

    id: str
    name: str
    created: float
    bytes: int


def move_to_trash(job: Job, *, with_outputs: bool) -> Path:
    """Take a job off the shelf; hold the shelf's lock.

    Args:
        job: that nobody runs.
        with_outputs: the files that it says it has written elsewhere go along, unless another job wrote them since.

    Returns:
        Its folder in the trash.

    Raises:
        BusyError: it runs.
        StorageError: it could not be moved.
    """
    if "delete" not in job.actions():
        raise actions.refused(job, "delete")
    outputs = outputs_of(job.folder) if with_outputs else []
    place = _free(job.shelf.trash / job.id)
    # A trainer started by hand at this moment finds the lock taken, instead of losing its folder under its feet.
    lock = _lock_of(job)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.release()
        shutil.move(job.folder, place)
        if outputs:
            _move_all(outputs, place / OUTPUTS)
    except OSError as error:
        raise storage_error(job.folder, error) from error
    finally:
        lock.release()
    return place


def put_back(shelf: Shelf, name: str) -> None:
    """Put a job from the trash back onto the shelf, and the files that came along to where they were.

    A file whose place is taken meanwhile stays in the job's folder, below `outputs/`.

    Raises:
        UsageError: it is not there, or a job of that name is on the shelf.
        StorageError: it could not be moved.
    """
    place = _place_of(shelf, name)
    with shelf.lock():
        if (shelf.runs / name).exists():
            raise UsageError(where=name, what="A job of that name is there already.", fix="Delete that one first.")
        try:
            shutil.move(place, shelf.runs / name)
            _put_outputs_back(shelf.runs / name)
        except OSError as error:
            raise storage_error(place, error) from error


def trashed(shelf: Shelf) -> list[str]:
    """Names of the jobs in the trash, the newest first; other things may lie there too."""
    try:
        found = [entry.name for entry in shelf.trash.iterdir() if not entry.name.startswith(".") and is_job(entry)]
    except OSError:
        return []
    return sorted(found, reverse=True)


def trashed_jobs(shelf: Shelf) -> list[TrashedJob]:
    """The jobs in the trash, the newest first."""
    return [_told(shelf.trash / name) for name in trashed(shelf)]


def remove_for_good(shelf: Shelf, name: str) -> bool:
    """Remove what a job in the trash is known to hold; True when nothing of its folder is left.

    Raises:
        UsageError: it is not there.
        StorageError: something could not be removed.
    """
    folder = _place_of(shelf, name)
    try:
        _remove_known(folder)
    except OSError as error:
        # Somebody else's files are no trouble: they stay, and the job is gone.
        if is_job(folder):
            raise storage_error(folder, error) from error
    return not folder.exists()


def empty_trash(shelf: Shelf) -> int:
    """Remove for good what jobs in the trash are known to hold; returns how many folders went altogether.

    A folder with files of somebody else stays, with these files.
    """
    count = 0
    for name in trashed(shelf):
        folder = shelf.trash / name
        with contextlib.suppress(OSError):
            _remove_known(folder)
        count += not folder.exists()
    return count


def outputs_of(folder: Path) -> list[Path]:
    """Files that a job wrote outside of its folder and nobody wrote since: weights, sample pictures, kept states."""
    written: dict[Path, float] = {}
    for event in _events(folder):
        if event.get("kind") in ("saved", "sample") and isinstance(event.get("file"), str):
            written[Path(event["file"])] = float(event.get("time") or 0.0)
    found = [path for path, told in written.items() if _is_unchanged(path, told)]
    results = dict.fromkeys(map(result_of, found))
    states = [path.with_name(f"{path.name if path.is_dir() else path.stem}-state") for path in results]
    return found + [state for state in states if read_manifest(state) is not None]


def _place_of(shelf: Shelf, name: str) -> Path:
    # Looked up among the names that are there, so that no text becomes a path.
    if name not in trashed(shelf):
        raise UsageError(where=name[:200], what="It is not in the trash.")
    return shelf.trash / name


def _told(folder: Path) -> TrashedJob:
    envelope = read_envelope(folder)
    name, created = (envelope.name, envelope.created) if envelope else ("", 0.0)
    return TrashedJob(folder.name, name or folder.name, created, bytes_below(folder))


def _put_outputs_back(folder: Path) -> None:
    files = {Path(event["file"]) for event in _events(folder) if isinstance(event.get("file"), str)}
    for path in sorted(files | {path.with_name(f"{path.stem}-state") for path in files}):
        kept = folder / OUTPUTS / path.name
        if path.is_absolute() and kept.exists() and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(kept, path)
    with contextlib.suppress(OSError):
        (folder / OUTPUTS).rmdir()


def _is_unchanged(path: Path, told: float) -> bool:
    try:
        return path.is_file() and path.stat().st_mtime <= told + LATE_SECONDS
    except OSError:
        return False


def _events(folder: Path) -> list[dict[str, Any]]:
    events = []
    for line in read_lines(folder / EVENTS):
        if '"saved"' in line or '"sample"' in line:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                events += [event] if isinstance(event, dict) else []
    return events


def _move_all(outputs: list[Path], place: Path) -> None:
    place.mkdir(exist_ok=True)
    for path in outputs:
        shutil.move(path, _free(place / path.name))
    for folder in sorted({path.parent for path in outputs}, reverse=True):
        # Only when that was all: what others keep there stays.
        with contextlib.suppress(OSError):
            folder.rmdir()


def _lock_of(job: Job) -> Lock:
    try:
        return Lock(job.folder / LOCK).acquire(what=f"The job {job.id}", wait=0.5)
    except BusyError:
        raise actions.refused(job, "delete") from None


def _free(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def _remove_known(folder: Path) -> None:
    sweep(folder, time.time())
    for name in OURS:
        (folder / name).unlink(missing_ok=True)
    for inner in (CHECKPOINTS, OUTPUTS):
        for entry in sorted((folder / inner).iterdir()) if (folder / inner).is_dir() else []:
            if (entry / MANIFEST).is_file():
                remove_folder(entry)
            elif inner == OUTPUTS and entry.is_file():
                # Moved here by us, from a job's own list.
                entry.unlink()
        with contextlib.suppress(OSError):
            (folder / inner).rmdir()
    folder.rmdir()
