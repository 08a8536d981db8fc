"""Folders that are complete or not there: written aside, listed in `manifest.json` last, then renamed.

Complete means: the final name, and a manifest whose sizes (and, on request, SHA-256) agree with the files. A folder
that is replaced steps aside as `.tn-<8 hex>.old` for the instant between two renames; `sweep` puts it back when a crash
fell into that instant.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .disk import TEMP_PREFIX, storage_error
from .files import sync_folder, write_json
from .locks import WINDOWS, claim, is_claimed

MANIFEST = "manifest.json"
BLOCK_BYTES = 2**20


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 (hex) of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a complete folder holds.

    Args:
        name: the folder's final name.
        facts: what the writer wants to say: step, versions and so on; JSON values.
        files: path inside the folder, with `/`, to its record.
    """

    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileRecord] = field(default_factory=dict)


def durable_folder(path: Path, fill: Callable[[Path], None], facts: Mapping[str, Any] | None = None) -> Manifest:
    """Create or replace a folder so that a crash leaves a complete one: the old or the new.

    Args:
        path: the final name; its parent must exist.
        fill: writes plain files into the folder it is given.
        facts: recorded in the manifest.

    Raises:
        StorageError: writing failed; an older folder of that name is untouched.
    """
    part = path.parent / f"{TEMP_PREFIX}{secrets.token_hex(4)}.part"
    try:
        part.mkdir()
        with _claimed_folder(part):
            fill(part)
            manifest = Manifest(path.name, dict(facts or {}), _flush_and_record(part))
            write_json(part / MANIFEST, asdict(manifest))
            sync_folder(part)
            _move_into_place(part, path)
        sync_folder(path.parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise storage_error(path, error) from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder, or None when there is none that can be read."""
    try:
        content = json.loads((folder / MANIFEST).read_text("utf-8"))
        files = {name: FileRecord(int(one["size"]), str(one["sha256"])) for name, one in content["files"].items()}
        return Manifest(str(content["name"]), dict(content["facts"]), files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def faults_of(folder: Path, *, hashes: bool) -> list[str]:
    """Why a folder is not complete, one sentence each; empty when it is.

    Args:
        folder: as made by `durable_folder`.
        hashes: read every byte; otherwise only sizes are compared.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return [f"{folder.name} has no readable {MANIFEST}: it was never finished, or is not one of ours."]
    faults = []
    for name, record in manifest.files.items():
        file = folder / name
        try:
            size = file.stat().st_size
        except OSError:
            faults.append(f"{name} is missing.")
            continue
        if size != record.size:
            faults.append(f"{name} has {size} bytes instead of {record.size}.")
        elif hashes and sha256_of(file) != record.sha256:
            faults.append(f"{name} was changed: its SHA-256 is another.")
    return faults


def remove_folder(folder: Path) -> None:
    """Remove a folder of ours; only what its manifest lists, so that files somebody else put there stay."""
    manifest = read_manifest(folder)
    if manifest is None:
        return
    listed = {MANIFEST, *manifest.files}
    if all(file.relative_to(folder).as_posix() in listed for file in folder.rglob("*") if file.is_file()):
        # Out of sight first: a crash in between leaves something that `sweep` finishes.
        part = folder.parent / f"{TEMP_PREFIX}{secrets.token_hex(4)}.part"
        folder.rename(part)
        shutil.rmtree(part)
        return
    (folder / MANIFEST).unlink()
    for name in manifest.files:
        (folder / name).unlink(missing_ok=True)


def sweep(folder: Path, before: float) -> int:
    """Remove what killed writers left in `folder`, and put back a folder that was just being replaced.

    Args:
        folder: looked at without its sub-folders.
        before: seconds since 1970; only leftovers last changed earlier are touched (the caller's lock is that old).

    Returns:
        How many leftovers were dealt with.
    """
    count = 0
    for leftover in leftovers_in(folder):
        with contextlib.suppress(OSError):
            if leftover.stat().st_mtime >= before or is_claimed(leftover):
                continue
            if leftover.suffix == ".tmp":
                leftover.unlink()
            elif leftover.suffix == ".part" or not _put_back(leftover):
                shutil.rmtree(leftover)
            count += 1
    return count


def leftovers_in(folder: Path) -> list[Path]:
    """What writers that were killed, or that are at it now, have in a folder; nothing when there is no such folder."""
    names = [entry for entry in folder.iterdir() if entry.name.startswith(TEMP_PREFIX)] if folder.is_dir() else []
    return sorted(entry for entry in names if entry.suffix in (".tmp", ".part", ".old"))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _put_back(old: Path) -> bool:
    manifest = read_manifest(old)
    if manifest is None or (old.parent / manifest.name).exists():
        return False
    old.rename(old.parent / manifest.name)
    return True


def _flush_and_record(part: Path) -> dict[str, FileRecord]:
    records = {}
    for file in sorted(entry for entry in part.rglob("*") if entry.is_file()):
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
        records[file.relative_to(part).as_posix()] = FileRecord(file.stat().st_size, sha256_of(file))
    for inner in sorted(entry for entry in part.rglob("*") if entry.is_dir()):
        sync_folder(inner)
    return records


def _move_into_place(part: Path, path: Path) -> None:
    if not path.exists():
        part.rename(path)
        return
    tag = secrets.token_hex(4)
    ours = read_manifest(path) is not None
    # A folder of that name without our manifest is somebody's work (sd-scripts uses the same names): it is kept.
    aside = path.with_name(f"{TEMP_PREFIX}{tag}.old" if ours else f"{path.name}.old-{tag}")
    path.rename(aside)
    try:
        part.rename(path)
    except OSError:
        aside.rename(path)
        raise
    if ours:
        shutil.rmtree(aside, ignore_errors=True)


def _claimed_folder(part: Path) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if WINDOWS else claim(os.open(part, os.O_RDONLY))
