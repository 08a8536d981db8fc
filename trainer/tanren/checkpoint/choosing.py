"""Which saved state a run goes on from: by what manifests say, without reading weights and without torch."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ResumeError
from ..folders import faults_of, read_manifest
from ..options.hub import HubOptions
from ..options.job import JobOptions
from ..options.saving import ResumeOptions
from ..options.spec import Settings
from .names import EPOCH_WORD, FINAL_WORD, STEP_WORD

STATE_NAME = re.compile(r"(?P<run>.*?)(-step\d{8}|-\d{6})?-state|(?P<job>step)-\d+", re.DOTALL)


def choose_state(path: Path) -> tuple[Path, list[str]]:
    """The state that `--resume` means, and lines to tell the user.

    Args:
        path: a state, or a folder of states such as a job's `checkpoints`.

    A damaged state is replaced by the next older whole one of the same run; states are ordered by their step.

    Raises:
        ResumeError: there is no whole state.
    """
    if not path.is_dir():
        raise ResumeError(where=str(path), what="There is no such folder.", fix="Give the folder of a saved state.")
    faults = faults_of(path, hashes=True)
    if not faults:
        return path, []
    newest_last = _states_in(path)
    inside = _newest_whole(newest_last)
    if inside is not None:
        # The ordinary case is no news; the run says itself where it goes on.
        return inside, [_passed_over(newest_last[-1], inside)] if inside != newest_last[-1] else []
    limit = _step_of(path)
    older = [
        state
        for state in _states_in(path.parent)
        if state != path and _run_of(state) == _run_of(path) and (limit is None or (_step_of(state) or 0) <= limit)
    ]
    whole = _newest_whole(older)
    if whole is None:
        raise damaged(path, faults)
    return whole, [_passed_over(path, whole)]


def state_to_resume(settings: Settings) -> Path | None:
    """What this run goes on from: `--resume`, else the states that earlier attempts of its job left, else nothing.

    A state that is still on the hub cannot be looked into and counts as none.
    """
    asked, job = settings[ResumeOptions].resume, settings[JobOptions].job_dir
    if asked is not None:
        return None if settings[HubOptions].resume_from_huggingface else Path(asked)
    checkpoints = None if job is None else Path(job) / "checkpoints"
    if checkpoints is None or not checkpoints.is_dir() or _newest_whole(_states_in(checkpoints)) is None:
        return None
    return checkpoints


def _passed_over(state: Path, chosen: Path) -> str:
    fault = faults_of(state, hashes=True)[0]
    return f"{state.name} cannot be used: {fault} Resuming from {chosen.name}, the next older one."


def damaged(folder: Path, faults: list[str]) -> ResumeError:
    """The problem of a folder that is no whole state."""
    if (folder / "optimizer.bin").exists() or (folder / "random_states_0.pkl").exists():
        return ResumeError(
            where=str(folder),
            what="It is a state of sd-scripts (accelerate), which cannot be continued here.",
            why="Its random streams and order of pictures are another program's.",
            fix="Start from the LoRA file of that moment with --network_weights.",
        )
    return ResumeError(
        where=str(folder),
        what="It is no whole state.",
        why=" ".join(faults),
        fix="Give an older state; a complete one has a manifest.json that agrees with its files.",
    )


def _states_in(folder: Path) -> list[Path]:
    """Finished states in a folder, oldest step first; their hashes are not looked at."""
    states = [entry for entry in folder.iterdir() if STATE_NAME.fullmatch(entry.name) and _step_of(entry) is not None]
    return sorted(states, key=lambda state: (_step_of(state), state.name))


def _newest_whole(states: list[Path]) -> Path | None:
    return next((state for state in reversed(states) if not faults_of(state, hashes=True)), None)


def _step_of(state: Path) -> int | None:
    manifest = read_manifest(state)
    step = manifest.facts.get("step") if manifest else None
    return step if isinstance(step, int) else None


def _run_of(state: Path) -> str | None:
    """What states of one run have in common in their names; kohya's words for a run without a name are the same run."""
    match = STATE_NAME.fullmatch(state.name)
    name = (match["run"] or match["job"]) if match else None
    return "" if name in (FINAL_WORD, EPOCH_WORD, STEP_WORD) else name
