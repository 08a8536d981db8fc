"""What lies beside a model file before an edit changes it, in the words of a backup, and the way back.

A backup's `beside` has up to two entries. `sidecar` is the whole text of `<name>.json`, null where there was none.
`preview` names the picture that was shown (null for none), where it is kept in the backups, and the picture that the
edit wrote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ResumeError
from ..files import durable_write, write_text
from .sidecar import PICTURE_ENDINGS

SIDECAR, PREVIEW = "sidecar", "preview"


def sidecar_entry(path: Path) -> dict[str, Any]:
    """The WebUI's own file beside a model file, as it is now."""
    target = path.with_suffix(".json")
    return {SIDECAR: target.read_bytes().decode("utf-8") if target.is_file() else None}


def preview_entry(before: Path | None, kept: Path | None, written: Path) -> dict[str, Any]:
    """The picture beside a model file before another one is put there."""
    names = {"before": before.name if before else None, "kept": kept.name if kept else None, "written": written.name}
    return {PREVIEW: names}


def bring_back(path: Path, beside: Mapping[str, Any], folder: Path) -> None:
    """Put back what lay beside a model file.

    Args:
        path: the model file.
        beside: of its backup.
        folder: of the backups.

    Raises:
        ResumeError: the picture that was kept is gone.
        StorageError: it could not be written.
    """
    if SIDECAR in beside:
        _bring_back_sidecar(path.with_suffix(".json"), beside[SIDECAR])
    pictures = beside.get(PREVIEW)
    if isinstance(pictures, Mapping):
        _bring_back_preview(path, pictures, folder)


def _bring_back_sidecar(target: Path, text: Any) -> None:
    if isinstance(text, str):
        write_text(target, text)
    else:
        with contextlib.suppress(FileNotFoundError):
            target.unlink()


def _bring_back_preview(path: Path, pictures: Mapping[str, Any], folder: Path) -> None:
    before, kept = _picture_beside(path, pictures.get("before")), pictures.get("kept")
    if before is not None and isinstance(kept, str):
        source = folder / Path(kept).name
        try:
            old = source.read_bytes()
        except OSError as error:
            what = "The picture from before the edit is no longer in the backups."
            raise ResumeError(where=str(source), what=what, why=str(error.strerror)) from error
        durable_write(before, lambda file: _write(file, old))
        with contextlib.suppress(OSError):
            source.unlink()
    fresh = _picture_beside(path, pictures.get("written"))
    if fresh is not None and fresh != before:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()


def _picture_beside(path: Path, name: Any) -> Path | None:
    """A picture beside a model file, if it is one that previews are called by; a backup's words lead nowhere else."""
    if not isinstance(name, str):
        return None
    allowed = {f"{path.stem}{middle}.{ending}" for middle in ("", ".preview") for ending in PICTURE_ENDINGS}
    return path.with_name(name) if name in allowed else None


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
