"""What the buttons "use this epoch" and "try it" ask for, read from their requests."""

from __future__ import annotations

import filecmp
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..jobs import view
from ..jobs.shelf import Job
from ..paths import resolve_user_path
from .host import Surroundings
from .use_control import UsedControl, use_control
from .use_epoch import USUAL_WEIGHT, Card, UsedEpoch, prompt_for, use_epoch
from .values import unquoted

LONGEST_TEXT, STRONGEST = 2000, 10.0
SEARCHED = 20_000


def use(surroundings: Surroundings, job: Job, body: Mapping[str, Any]) -> UsedEpoch:
    """Copy a file of a job into the LoRA folder.

    Args:
        body: `file`, and what the user wrote beside it: `name`, `preview` (a sample), `activation_text`, `weight`; and
            `folder`, which counts where no WebUI says where its LoRAs are.

    Raises:
        UsageError: the job has no such file or sample, a value is of another kind, or the folder is none that may be
            written to.
    """
    preview = _text(body, "preview")
    return use_epoch(
        surroundings,
        view.file_path(job, _text(body, "file")),
        name=_text(body, "name").strip(),
        card=_card(body),
        preview=view.sample_path(job, preview) if preview else None,
        folder=_folder(surroundings, body),
    )


def use_as_control(surroundings: Surroundings, job: Job, body: Mapping[str, Any]) -> UsedControl:
    """Copy a control network of a job into ControlNet's folder.

    Args:
        body: `file`, `name`, and `folder`, as for `use`.

    Raises:
        UsageError: the job has no such file, or the folder is none that may be written to.
    """
    weights = view.file_path(job, _text(body, "file"))
    return use_control(surroundings, weights, name=_text(body, "name").strip(), folder=_folder(surroundings, body))


def prompt(surroundings: Surroundings, job: Job, body: Mapping[str, Any]) -> str:
    """The words that try a file of a job: of the copy that is in use already, else of one that is made now."""
    weights = view.file_path(job, _text(body, "file"))
    lora = _copy_in_use(surroundings, weights) or use(surroundings, job, body).path
    return prompt_for(surroundings, lora, _card(body) if "weight" in body or "activation_text" in body else None)


def _copy_in_use(surroundings: Surroundings, weights: Path) -> Path | None:
    """The same file in the LoRA folder, whatever its name is there."""
    folder = surroundings.lora_dir()
    if folder is None or not folder.is_dir():
        return None
    size = weights.stat().st_size
    for number, path in enumerate(folder.rglob("*" + weights.suffix)):
        if number >= SEARCHED:
            return None
        if path.is_file() and path.stat().st_size == size and filecmp.cmp(weights, path, shallow=False):
            return path
    return None


def _folder(surroundings: Surroundings, body: Mapping[str, Any]) -> Path | None:
    """Where the user wants the copy; None for the folder that is known."""
    text = unquoted(_text(body, "folder").strip())
    if not text or surroundings.kind != "standalone":
        return None
    return resolve_user_path(text, "new folder", where="folder", policy=surroundings.policy())


def _card(body: Mapping[str, Any]) -> Card:
    weight = body.get("weight", USUAL_WEIGHT)
    is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool) and math.isfinite(weight)
    if not is_number or abs(weight) > STRONGEST:
        raise UsageError(where="weight", what="The weight is not a number from -10 to 10.", fix="0.8 is usual.")
    return Card(activation_text=_text(body, "activation_text").strip(), weight=float(weight))


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise UsageError(where=name, what="This is not a short text.", fix="Shorten it.")
    return value
