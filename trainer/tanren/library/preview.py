"""The picture beside a model file that the WebUI shows on its card."""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path
from typing import BinaryIO

from ..files import durable_write
from .backups import FOLDER
from .cover import picture_bytes, read_picture
from .sidecar import preview_of

SIDE = 1024


def preview_bytes(picture: Path) -> bytes:
    """A picture as it lies beside a model file.

    Raises:
        DataError: it is no PNG, JPEG or WebP picture.
    """
    return picture_bytes(read_picture(picture), SIDE)


def write_preview(path: Path, fresh: bytes, data: Path) -> tuple[Path, Path | None]:
    """Put a picture beside a model file, as PNG; what was shown before is kept.

    Args:
        path: the model file.
        fresh: from `preview_bytes`.
        data: Tanren's data folder, for the picture before.

    Returns:
        The new picture, and where the one before is kept now, if there was one.

    Raises:
        StorageError: it could not be written; the old picture stays.
    """
    before = preview_of(path)
    kept = _keep(before, data) if before is not None else None
    # A name that comes before others of the WebUI's list is not left to hide the new one.
    target = before if before is not None and before.suffix == ".png" else path.with_name(f"{path.stem}.preview.png")
    durable_write(target, lambda file: _write(file, fresh))
    if before is not None and before != target:
        with contextlib.suppress(OSError):
            before.unlink()
    return target, kept


def _keep(before: Path, data: Path) -> Path:
    """The old picture's bytes in the backups, durable when this returns."""
    folder = data / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{int(time.time() * 1000):013d}-preview-{secrets.token_hex(4)}{before.suffix}"
    old = before.read_bytes()
    durable_write(kept, lambda file: _write(file, old))
    return kept


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
