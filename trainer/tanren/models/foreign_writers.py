"""Files that another program's writer makes: checked and put into place as durably as our own."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..disk import TEMP_PREFIX, storage_error
from ..errors import NumericError
from ..files import durable_write
from .tensor_files import open_tensors

SHOWN = 5
BLOCK_BYTES = 2**20


def publish(path: Path, make: Callable[[Path], None]) -> None:
    """Let another program's writer make a file, then check it and put it into place durably.

    Args:
        path: the final name.
        make: writes a whole file of that suffix at the path it is given, which lies in a folder of its own.

    Raises:
        NumericError: its weights are not finite; they lie beside, with `.nonfinite` in the name.
        ModelFileError: what it wrote is not a file that can be read.
        StorageError: the disk refused; an older file of that name is untouched.
    """
    aside = path.parent / f"{TEMP_PREFIX}{secrets.token_hex(4)}.part"
    try:
        aside.mkdir()
        made = aside / path.name
        make(made)
        tensors = open_tensors(made, map_file=False).tensors
        bad = not_finite(tensors)
        kept = path.with_name(f"{path.stem}.nonfinite{path.suffix}")
        durable_write(kept if bad else path, lambda file: _copy(made, file))
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if bad:
        raise nonfinite_weights(path, bad, len(tensors), kept)


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors with a NaN or an infinity, sorted."""
    return sorted(
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all())
    )


def nonfinite_weights(path: Path, bad: list[str], count: int, kept: Path) -> NumericError:
    """The problem of weights that never got the name `path`, and lie in `kept` instead."""
    return NumericError(
        where=str(path),
        what=f"{len(bad)} of {count} tensors are not finite, such as {', '.join(bad[:SHOWN])}.",
        why=f"They were kept for inspection in {kept.name}.",
        fix="Use the file saved before, and train with a lower learning rate or in bf16.",
    )


def _copy(source: Path, target: BinaryIO) -> None:
    with source.open("rb") as file:
        shutil.copyfileobj(file, target, BLOCK_BYTES)
