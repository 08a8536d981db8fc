"""Changing what a file says about itself: checked first, then written with every tensor byte proved untouched.

Keys that hosts file a LoRA by cannot be taken out without saying so. Before the first byte changes, the old header goes
into the backups of the data folder, so that any edit can be undone (`backups.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ModelFileError, UsageError
from ..formats.lora_metadata import MINIMUM_KEYS
from ..formats.safetensors_header import (
    HEADER_LIMIT,
    MAX_VALUE,
    Header,
    header_bytes,
    read_header,
    replace_header,
)
from .backups import Backup, forget, keep_header
from .look import Stamp, stamp_of

# What hosts and readers file a LoRA by, and how they load it.
FAMILY_KEYS = frozenset(
    (*MINIMUM_KEYS, "modelspec.architecture", "modelspec.implementation", "modelspec.sai_model_spec")
)
# Hashes over the tensors are the trainer's word, not the user's.
FIXED_KEYS = frozenset(("sshs_model_hash", "sshs_legacy_hash", "modelspec.hash_sha256"))
MAX_KEY = 512
# What people call the fields they edit most.
SHORT_NAMES = {
    "name": "ss_output_name",
    "title": "modelspec.title",
    "author": "modelspec.author",
    "description": "modelspec.description",
    "license": "modelspec.license",
    "licence": "modelspec.license",
    "trigger": "modelspec.trigger_phrase",
    "tags": "modelspec.tags",
    "usage": "modelspec.usage_hint",
    "comment": "ss_training_comment",
    "rating": "ssmd_rating",
}
JSON_KEYS = {
    "ss_tag_frequency": dict,
    "ss_dataset_dirs": dict,
    "ss_reg_dataset_dirs": dict,
    "ss_bucket_info": dict,
    "ss_datasets": list,
    "ssmd_cover_images": list,
}


@dataclass(frozen=True)
class Change:
    """What an edit does to the metadata.

    Args:
        set: key -> new text.
        unset: keys to take out; those that are not there do no harm.
        may_lose_family: True when the user has said that keys hosts need may go.
    """

    set: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    may_lose_family: bool = False


@dataclass(frozen=True)
class Difference:
    """One key that an edit changes; None for "not there"."""

    key: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Edited:
    """What an edit did.

    Args:
        path: the file.
        differences: what changed; empty when nothing had to be written.
        backup: how to undo it; None when nothing was written.
    """

    path: Path
    differences: tuple[Difference, ...]
    backup: Backup | None = None


def changed_metadata(metadata: Mapping[str, str], change: Change) -> dict[str, str]:
    """The metadata after a change; keys keep their order, new ones come last.

    Raises:
        UsageError: a key or value that cannot be stored, or a key that hosts need would be lost.
    """
    for key, text in change.set.items():
        _check_value(key, text)
    lost = sorted(key for key in change.unset if key in FAMILY_KEYS and key in metadata and key not in change.set)
    if lost and not change.may_lose_family:
        raise UsageError(
            where=", ".join(lost),
            what="Hosts file the LoRA by these keys, so they are not taken out by accident.",
            fix="Add --lose-family if that is meant.",
        )
    fixed = sorted(key for key in (*change.set, *change.unset) if key in FIXED_KEYS)
    if fixed:
        raise UsageError(where=", ".join(fixed), what="These are hashes of the tensors and cannot be edited.")
    left = {key: text for key, text in metadata.items() if key not in change.unset or key in change.set}
    return {**left, **change.set}


def differences_between(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Difference, ...]:
    """The keys whose value differs, in the order of the old metadata, new ones last."""
    keys = [*before, *(key for key in after if key not in before)]
    return tuple(Difference(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key))


def edit_file(path: Path, change: Change, data: Path, *, stamp: Stamp | None = None) -> Edited:
    """Change the metadata of one file; nothing is written when nothing changes.

    Args:
        path: a .safetensors file.
        change: what to do.
        data: Tanren's data folder, for the backup.
        stamp: of the file when the user looked at it; the edit is refused when it has changed since.

    Raises:
        UsageError: the change cannot be made.
        ModelFileError: the file is damaged, or was changed by somebody else.
        StorageError: it could not be written.
    """
    header = read_header(path)
    now = stamp_of(path)
    if stamp is not None and now != stamp:
        raise changed_meanwhile(path)
    return write_metadata(path, header, changed_metadata(header.metadata, change), data, now)


def write_metadata(path: Path, header: Header, after: Mapping[str, str], data: Path, stamp: Stamp) -> Edited:
    """Write other metadata into a file whose header was just read, with a backup of the old ones.

    Args:
        path: the file.
        header: as read.
        after: the metadata it shall have.
        data: Tanren's data folder.
        stamp: of the file when its header was read.

    Raises:
        UsageError: the metadata are too large.
        ModelFileError: the file has changed since.
        StorageError: it could not be written.
    """
    differences = differences_between(header.metadata, after)
    if not differences:
        return Edited(path, ())
    check_size(path, header, after)
    edited = Edited(path, differences, keep_header(path, header, data))
    put_metadata(edited, after, stamp)
    return edited


def check_size(path: Path, header: Header, after: Mapping[str, str]) -> None:
    """Refuse metadata that no reader would take.

    Raises:
        UsageError: they are too large.
    """
    size = len(header_bytes(after, header.tensors)) - 8
    if size > HEADER_LIMIT or sum(len(key) + len(text.encode("utf-8")) for key, text in after.items()) > HEADER_LIMIT:
        raise UsageError(
            where=str(path),
            what=f"The header would have {size} bytes; at most {HEADER_LIMIT} are read.",
            fix="Shorten it.",
        )


def put_metadata(edited: Edited, after: Mapping[str, str], stamp: Stamp) -> None:
    """Write metadata whose backup is made already; the backup goes again when they could not be written.

    Args:
        edited: the file, what changes, and the backup.
        after: the metadata it shall have.
        stamp: of the file when its header was read.

    Raises:
        ModelFileError: the file has changed since.
        StorageError: it could not be written.
    """
    try:
        # Hashing the tensors for the backup takes a while for large files.
        if stamp_of(edited.path) != stamp:
            raise changed_meanwhile(edited.path)
        if edited.differences:
            replace_header(edited.path, after)
    except BaseException:
        if edited.backup is not None:
            forget(edited.backup)
        raise


def edit_files(
    paths: Iterable[Path], change: Change, data: Path, *, dry_run: bool = False
) -> tuple[list[Edited], list[ModelFileError]]:
    """The same change in many files: all are checked before the first is written.

    Args:
        paths: the files.
        change: what to do in each.
        data: Tanren's data folder, for the backups.
        dry_run: only say what would change.

    Returns:
        What was done, and the files that could not be read.

    Raises:
        UsageError: the change cannot be made in one of them; then none is touched.
    """
    ready: list[tuple[Path, Header, dict[str, str], Stamp]] = []
    refused: list[ModelFileError] = []
    for path in paths:
        try:
            header = read_header(path)
        except ModelFileError as problem:
            refused.append(problem)
            continue
        ready.append((path, header, changed_metadata(header.metadata, change), stamp_of(path)))
    if dry_run:
        return [Edited(path, differences_between(header.metadata, after)) for path, header, after, _ in ready], refused
    return [write_metadata(path, header, after, data, stamp) for path, header, after, stamp in ready], refused


def changed_meanwhile(path: Path) -> ModelFileError:
    """The problem of a file that is not the one the user looked at."""
    return ModelFileError(
        where=str(path), what="The file has changed since it was looked at.", fix="Look at it again, then edit."
    )


def _check_value(key: str, text: str) -> None:
    if not key or len(key) > MAX_KEY or any(ord(letter) < 32 for letter in key) or key == "__metadata__":
        raise UsageError(where=repr(key), what="This is no name of a metadata field.")
    try:
        size = len(text.encode("utf-8"))
        key.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(where=repr(key), what="The text holds half a character (a lone surrogate).") from None
    if size > MAX_VALUE:
        raise UsageError(where=key, what=f"The value has {size} bytes; at most {MAX_VALUE} can be stored.")
    if key == "ssmd_rating" and not (text.isdecimal() and len(text) < 3 and int(text) <= 10):
        raise UsageError(where=key, what=f"{text!r} is no rating.", fix="Write a whole number from 0 to 10.")
    kind = JSON_KEYS.get(key)
    if kind is None:
        return
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, kind):
        raise UsageError(where=key, what=f"The value is not a JSON {'object' if kind is dict else 'list'}.")
