"""The picture beside a model file that the WebUI shows on its card."""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path
from typing import BinaryIO

from ..files import durable_write
from .backups import FOLDER

SIDE = 1024


def preview_bytes(picture: Path) -> bytes:
    """A picture as it lies beside a model file.

    Raises:
        DataError: it is no PNG, JPEG or WebP picture.
    """
    # Only this needs Pillow; everything else about metadata works with a bare Python.
    from .cover import picture_bytes, read_picture

    return picture_bytes(read_picture(picture), SIDE)


def preview_target(path: Path, before: Path | None) -> Path:
    """The picture that `put_preview` writes."""
    # A name that comes before others of the WebUI's list is not left to hide the new one.
    return before if before is not None and before.suffix == ".png" else path.with_name(f"{path.stem}.preview.png")


def put_preview(path: Path, fresh: bytes, before: Path | None) -> Path:
    """Put a picture beside a model file in the place of the one that was shown; returns where it is.

    Raises:
        StorageError: it could not be written; the old picture stays.
    """
    target = preview_target(path, before)
    durable_write(target, lambda file: _write(file, fresh))
    if before is not None and before != target:
        with contextlib.suppress(OSError):
            before.unlink()
    return target


def keep_preview(before: Path | None, data: Path) -> Path | None:
    """The old picture's bytes in the backups, durable when this returns; None where there is no picture."""
    return _keep(before, data) if before is not None else None


def _keep(before: Path, data: Path) -> Path:
    folder = data / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{int(time.time() * 1000):013d}-preview-{secrets.token_hex(4)}{before.suffix}"
    old = before.read_bytes()
    durable_write(kept, lambda file: _write(file, old))
    return kept


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
