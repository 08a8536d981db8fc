"""Checkpoints in torch's own format (.ckpt, .pt, .bin), read without running anything they hold.

Only zip files as torch writes them are read, with `weights_only=True`. Checkpoints of the first years carry settings of
training callbacks beside the weights; their class names stand for empty classes of ours, so such files open without the
package that made them. Everything else in a file that is not plain data makes it refused.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelFileError

MEMBER = re.compile(
    r"[^/]*/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment|"
    r"\.data/serialization_id|constants\.pkl|attributes\.pkl)"
)
LARGEST_PICKLE = 64 * 2**20
DEEPEST_NESTING = 4
# What reading a damaged pickle can end in; found by damaging some thousand of them.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
# How torch's messages name what it refused.
REFUSALS = (r"GLOBAL ([\w.]*\w)", r"[Uu]nsupported (?:global|class|operand)\W*([\w.]*\w)")
CONVERT = "Convert it to .safetensors with a program you trust, or take the .safetensors version of the model."


class TrainingCallback:
    """Stands for the settings of a training callback, which nothing here reads."""


# Class names seen in published Stable Diffusion 1 checkpoints.
CALLBACK_CLASSES = [
    (TrainingCallback, f"{package}.callbacks.{name}")
    for package in ("pytorch_lightning", "lightning.pytorch")
    for name in ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping", "ModelCheckpoint", "EarlyStopping")
]


def read_pickle(path: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint by name, mapped from the file; `state_dict` levels are peeled off.

    Raises:
        ModelFileError: the file is no zip of torch's, is damaged, or holds more than plain data.
    """
    _check_zip(path)
    try:
        with torch.serialization.safe_globals(list(CALLBACK_CLASSES)), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise _refused(path, _foreign_name(str(error))) from error
    except DAMAGE as error:
        raise ModelFileError(
            where=str(path),
            what=f"{path.name} is damaged: torch cannot read it.",
            why=(str(error).splitlines() or [type(error).__name__])[0][:200],
            fix="Download it again.",
        ) from error
    return {name: value for name, value in _peeled(content, path).items() if isinstance(value, Tensor)}


def _check_zip(path: Path) -> None:
    """Only a zip whose entries are stored plainly under torch's names, no larger than the file says."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise ModelFileError(
            where=str(path),
            what=f"{path.name} is not a zip archive, so it is damaged or in torch's format of before 2020.",
            why="That format can run code while it is read.",
            fix=CONVERT,
        ) from error
    unexpected = [member.filename for member in members if not MEMBER.fullmatch(member.filename)]
    if unexpected or not any(member.filename.endswith("/data.pkl") for member in members):
        example = f"It holds {unexpected[0][:80]!r}." if unexpected else "It has no data.pkl."
        raise ModelFileError(
            where=str(path), what=f"{path.name} is a zip archive, but not a checkpoint.", why=example, fix=CONVERT
        )
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not stored or sum(member.file_size for member in members) > 2 * path.stat().st_size:
        raise _refused(path, "its entries are packed or larger than the file")
    if any(member.filename.endswith(".pkl") and member.file_size > LARGEST_PICKLE for member in members):
        raise _refused(path, f"its description is larger than {LARGEST_PICKLE >> 20} MiB")


def _peeled(content: Any, path: Path) -> Mapping[Any, Any]:
    for _ in range(DEEPEST_NESTING):
        inner = content.get("state_dict") if isinstance(content, Mapping) else None
        if not isinstance(inner, Mapping):
            break
        content = inner
    if not isinstance(content, Mapping):
        raise ModelFileError(
            where=str(path), what=f"{path.name} holds a {type(content).__name__} instead of named weights.", fix=CONVERT
        )
    return content


def _foreign_name(message: str) -> str:
    """The class or function that torch refused, from its message; its advice to load unsafely is not passed on."""
    for pattern in REFUSALS:
        if found := re.search(pattern, message):
            return f"it holds {found[1]}"
    return "it holds more than plain data"


def _refused(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(
        where=str(path), what=f"{path.name} was not opened.", why=f"It could run code: {reason}.", fix=CONVERT
    )
