"""Everything a run needs to go on as if it had never stopped, in one folder.

`weights.safetensors` (at training precision), `training.pt` (optimizer, schedule, scaler, random streams; read back
with `weights_only`), `progress.json` (position, counters, averages, session, fingerprint), sd-scripts'
`train_state.json`, and `manifest.json` last. A folder counts only when its manifest agrees with its files; nothing is
taken from its name or age.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..errors import ModelFileError, ResumeError
from ..folders import durable_folder, faults_of, read_manifest
from ..options.job import JobOptions
from ..options.saving import ResumeOptions
from ..options.spec import Settings
from .describe import Session
from .fingerprint import Difference, Fingerprint, accept_or_refuse, differences
from .names import EPOCH_WORD, FINAL_WORD, STEP_WORD
from .rng import Streams
from .weights import load_weights, save_weights, write_torch_file

FORMAT = 1
WEIGHTS, TRAINING, PROGRESS, KOHYA = "weights.safetensors", "training.pt", "progress.json", "train_state.json"
STATE_NAME = re.compile(r"(?P<run>.*?)(-step\d{8}|-\d{6})?-state|(?P<job>step)-\d+", re.DOTALL)
PLAIN = (str, int, float, bool, type(None), Tensor, torch.dtype, torch.device, torch.Size)


@dataclass
class TrainState:
    """A run at the border between two updates.

    Args:
        step, epoch, batch: updates done; epochs completed; batches of this process done in the current epoch.
        weights: of the network, by their names in files, in the dtype they are trained in.
        optimizer, scheduler: their state dicts.
        scaler: that of the loss scaler, or None.
        streams: of random numbers, see `rng`.
        session: kept by the run that goes on.
        fingerprint: what the run was.
        counters: averages, skipped steps and the like, as JSON.
        accepted_changes: names that were accepted by `--allow_changes` so far.
    """

    step: int
    epoch: int
    batch: int
    weights: Mapping[str, Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    scaler: dict[str, Any] | None
    streams: Streams
    session: Session
    fingerprint: Fingerprint
    counters: dict[str, Any] = field(default_factory=dict)
    accepted_changes: list[str] = field(default_factory=list)


def save_state(folder: Path, state: TrainState) -> None:
    """Write a state durably; nothing of the run is changed by it.

    Args:
        folder: final name; its parent must exist. An older state of that name is replaced.

    Raises:
        StorageError: the disk refused.
        NumericError: weights are not finite; no state is made of them.
        ResumeError: the optimizer keeps objects that no state can hold.
    """
    training = {
        "optimizer": plain_data(state.optimizer, "optimizer"),
        "scheduler": plain_data(state.scheduler, "scheduler"),
        "scaler": plain_data(state.scaler, "scaler"),
        "streams": state.streams,
    }
    progress = {
        "step": state.step,
        "epoch": state.epoch,
        "batch": state.batch,
        "session": asdict(state.session),
        "fingerprint": asdict(state.fingerprint),
        "counters": state.counters,
        "accepted_changes": state.accepted_changes,
    }

    def fill(part: Path) -> None:
        save_weights(part / WEIGHTS, state.weights, None, {})
        with (part / TRAINING).open("wb") as file:
            write_torch_file(training, file)
        _write_json(part / PROGRESS, progress)
        # sd-scripts counts the epoch that is running from 1.
        _write_json(part / KOHYA, {"current_epoch": state.epoch + (state.batch > 0), "current_step": state.step})

    facts = {"format": FORMAT, "step": state.step, "versions": state.fingerprint.versions}
    durable_folder(folder, fill, facts)


def load_state(
    folder: Path, now: Fingerprint, allow_changes: Iterable[str] = ()
) -> tuple[TrainState, list[Difference]]:
    """Read and verify a state, and compare the run it was saved by with this one.

    Args:
        folder: as chosen by `choose_state`.
        now: fingerprint of this run.
        allow_changes: names of differences the user accepts.

    Returns:
        The state, and the differences that were accepted.

    Raises:
        ResumeError: damaged, from a newer version, or of a run that differs.
    """
    faults = faults_of(folder, hashes=True)
    if faults:
        raise _damaged(folder, faults)
    manifest = read_manifest(folder)
    version = manifest.facts.get("format", 0) if manifest else 0
    if version != FORMAT:
        raise ResumeError(
            where=str(folder),
            what=f"It is a state of format {version}; this version reads format {FORMAT}.",
            fix="Go on with the version that saved it.",
        )
    try:
        progress = json.loads((folder / PROGRESS).read_text("utf-8"))
        before = Fingerprint(**progress["fingerprint"])
        accepted = accept_or_refuse(differences(before, now), allow_changes, str(folder))
        state = _assemble(folder, progress, before)
    except (OSError, ValueError, KeyError, TypeError, ModelFileError, pickle.UnpicklingError, RuntimeError) as error:
        raise _damaged(folder, [f"it cannot be read: {error}"]) from error
    state.accepted_changes += [one.name for one in accepted if one.name not in state.accepted_changes]
    return state, accepted


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
    inside = _newest_whole(_states_in(path))
    if inside is not None:
        return inside, [f"Resuming from {inside.name}, the newest whole state in {path.name}."]
    limit = _step_of(path)
    older = [
        state
        for state in _states_in(path.parent)
        if state != path and _run_of(state) == _run_of(path) and (limit is None or (_step_of(state) or 0) <= limit)
    ]
    whole = _newest_whole(older)
    if whole is None:
        raise _damaged(path, faults)
    return whole, [f"{path.name} cannot be used: {faults[0]} Resuming from {whole.name}, the next older one."]


def state_to_resume(settings: Settings) -> Path | None:
    """What this run goes on from: `--resume`, else the states that earlier attempts of its job left, else nothing."""
    asked, job = settings[ResumeOptions].resume, settings[JobOptions].job_dir
    if asked is not None:
        return Path(asked)
    checkpoints = None if job is None else Path(job) / "checkpoints"
    if checkpoints is None or not checkpoints.is_dir() or _newest_whole(_states_in(checkpoints)) is None:
        return None
    return checkpoints


def session_of(path: Path) -> Session:
    """The session of the run that saved a state, chosen as `choose_state` does.

    Raises:
        ResumeError: there is no whole state.
    """
    folder, _ = choose_state(path)
    try:
        return Session(**json.loads((folder / PROGRESS).read_text("utf-8"))["session"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, [f"it cannot be read: {error}"]) from error


def restore_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Load an optimizer's state with every tensor in the dtype it was saved in.

    torch casts state to the dtype of the weights while loading, which changes optimizers that keep float32 state for
    bfloat16 weights.
    """
    optimizer.load_state_dict(saved)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    indices = [index for group in saved["param_groups"] for index in group["params"]]
    for parameter, index in zip(parameters, indices, strict=True):
        for name, value in saved.get("state", {}).get(index, {}).items():
            loaded = optimizer.state[parameter].get(name)
            if isinstance(value, Tensor) and isinstance(loaded, Tensor) and loaded.dtype != value.dtype:
                optimizer.state[parameter][name] = value.to(loaded.device)


def plain_data(value: Any, where: str) -> Any:
    """The same content in types that can be read back without running code: NumPy numbers become Python's.

    Raises:
        ResumeError: something else is in there; names where.
    """
    if type(value).__module__ == "numpy":
        return torch.as_tensor(value) if getattr(value, "ndim", 0) else value.item()
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, Mapping):
        return {name: plain_data(inner, f"{where}.{name}") for name, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        kind = next(kind for kind in (list, tuple, set) if isinstance(value, kind))
        return kind(plain_data(inner, where) for inner in value)
    raise ResumeError(
        where=where,
        what=f"A state cannot hold the {type(value).__name__} that is kept there.",
        fix="Train without --save_state, or with another optimizer.",
    )


def _assemble(folder: Path, progress: dict[str, Any], fingerprint: Fingerprint) -> TrainState:
    training = torch.load(folder / TRAINING, map_location="cpu", weights_only=True)
    return TrainState(
        step=int(progress["step"]),
        epoch=int(progress["epoch"]),
        batch=int(progress["batch"]),
        weights=load_weights(folder / WEIGHTS),
        optimizer=training["optimizer"],
        scheduler=training["scheduler"],
        scaler=training["scaler"],
        streams=training["streams"],
        session=Session(**progress["session"]),
        fingerprint=fingerprint,
        counters=progress["counters"],
        accepted_changes=list(progress["accepted_changes"]),
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


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _damaged(folder: Path, faults: list[str]) -> ResumeError:
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
