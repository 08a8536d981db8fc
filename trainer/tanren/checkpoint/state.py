"""Everything a run needs to go on as if it had never stopped, in one folder.

`weights.safetensors` (at training precision), `training.pt` (optimizer, schedule, scaler, random streams; read back
with `weights_only`), `progress.json` (position, counters, averages, session, fingerprint), sd-scripts'
`train_state.json`, and `manifest.json` last. A folder counts only when its manifest agrees with its files; nothing is
taken from its name or age.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..errors import ModelFileError, ResumeError
from ..folders import durable_folder, faults_of, read_manifest
from .choosing import choose_state, damaged
from .describe import Session
from .fingerprint import Difference, Fingerprint, accept_or_refuse, differences
from .resume_check import PROGRESS
from .rng import Streams
from .weights import load_weights, save_weights, write_torch_file

FORMAT = 1
WEIGHTS, TRAINING, KOHYA = "weights.safetensors", "training.pt", "train_state.json"
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
        raise damaged(folder, faults)
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
        raise damaged(folder, [f"it cannot be read: {error}"]) from error
    state.accepted_changes += [one.name for one in accepted if one.name not in state.accepted_changes]
    return state, accepted


def session_of(path: Path) -> Session:
    """The session of the run that saved a state, chosen as `choose_state` does.

    Raises:
        ResumeError: there is no whole state.
    """
    folder, _ = choose_state(path)
    try:
        return Session(**json.loads((folder / PROGRESS).read_text("utf-8"))["session"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, [f"it cannot be read: {error}"]) from error


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


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
