"""Old headers of edited files, kept in `<data>/backups`, and the way back to them.

A backup is one JSON file: where the model file lay, its metadata, the SHA-256 of its tensors, and what an edit changed
beside it. Going back writes the
old metadata into the file again; the tensors must still be the same ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ResumeError, UsageError
from ..files import write_json
from ..formats.safetensors_header import Header, read_header, replace_header
from .backup_room import make_room
from .beside_backup import bring_back
from .hashes import tensor_hash

FOLDER = "backups"
SCHEMA = 1
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Backup:
    """One old header.

    Args:
        file: where it is kept.
        path: the model file it belongs to.
        metadata: as they were.
        tensors: SHA-256 of everything after the header.
        saved: unix time.
        beside: what lay beside the file and was changed with it, as `beside_backup.py` writes it; empty when nothing.
    """

    file: Path
    path: Path
    metadata: dict[str, str]
    tensors: str
    saved: float
    beside: Mapping[str, Any] = field(default_factory=dict)


def keep_header(path: Path, header: Header, data: Path, beside: Mapping[str, Any] | None = None) -> Backup:
    """Keep the header of a file before it is edited; durable when this returns.

    Args:
        path: the model file.
        header: as it is.
        data: Tanren's data folder.
        beside: what lies beside the file and is about to be changed as well.

    Raises:
        StorageError: it could not be written; the edit must not go on then.
    """
    folder = data / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    saved = time.time()
    file = folder / f"{int(saved * 1000):013d}-{_place_of(path)}-{secrets.token_hex(4)}.json"
    backup = Backup(file, path.resolve(), dict(header.metadata), tensor_hash(path, header), saved, dict(beside or {}))
    content = {
        "schema": SCHEMA,
        "path": str(backup.path),
        "metadata": backup.metadata,
        "tensors": backup.tensors,
        "saved": saved,
        "beside": backup.beside,
    }
    write_json(file, content)
    make_room(folder)
    return backup


def forget(backup: Backup) -> None:
    """Take a backup away whose edit was not made."""
    with contextlib.suppress(OSError):
        backup.file.unlink()


def backups_of(path: Path, data: Path) -> list[Backup]:
    """The backups of a file, the newest first; damaged ones are passed over."""
    folder = data / FOLDER
    if not folder.is_dir():
        return []
    wanted = path.resolve()
    found = (_read(file) for file in sorted(folder.glob(f"*-{_place_of(path)}-*.json"), reverse=True))
    return [backup for backup in found if backup is not None and backup.path == wanted]


def undo(path: Path, data: Path) -> Backup:
    """Bring back the header a file had before its last edit, and what lay beside it; that edit's backup is used up.

    Raises:
        UsageError: there is nothing to undo.
        ResumeError: the tensors are no longer those of the backup.
        ModelFileError: the file is damaged.
        StorageError: it could not be written.
    """
    kept = backups_of(path, data)
    if not kept:
        raise UsageError(where=str(path), what="There is no earlier header of this file.", fix="Nothing to undo.")
    backup = kept[0]
    header = read_header(path)
    if tensor_hash(path, header) != backup.tensors:
        raise ResumeError(
            where=str(path),
            what="The tensors of this file are no longer those of the backup.",
            why="Somebody put another file in its place.",
            fix=f"The old metadata are in {backup.file}.",
        )
    bring_back(path, backup.beside, data / FOLDER)
    if list(header.metadata.items()) != list(backup.metadata.items()):
        replace_header(path, backup.metadata)
    forget(backup)
    return backup


def _place_of(path: Path) -> str:
    """A word for the place of a model file, so that only its own backups are opened among thousands."""
    return hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _read(file: Path) -> Backup | None:
    try:
        if file.stat().st_size > MAX_BYTES:
            return None
        content: Any = json.loads(file.read_text("utf-8"))
        metadata, tensors = content["metadata"], content["tensors"]
        path, saved = Path(content["path"]), float(content["saved"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if content.get("schema") != SCHEMA or not isinstance(tensors, str) or not isinstance(metadata, dict):
        return None
    if not all(isinstance(text, str) for text in metadata.values()):
        return None
    beside = content.get("beside")
    return Backup(file, path, metadata, tensors, saved, beside if isinstance(beside, dict) else {})
