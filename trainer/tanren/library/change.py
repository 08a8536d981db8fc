"""One change to a model file and to what lies beside it, checked as a whole, written in order, undone as one.

The metadata inside come first, then the WebUI's own file, then the picture. The backup is made before the first of them
is written, so that an undo brings all three back also when a later one could not be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..formats.safetensors_header import Header, read_header
from .backups import Backup, keep_header
from .beside_backup import preview_entry, sidecar_entry
from .edit import (
    Change,
    Difference,
    Edited,
    changed_meanwhile,
    changed_metadata,
    check_size,
    differences_between,
    put_metadata,
)
from .look import Stamp, stamp_of
from .preview import keep_preview, preview_target, put_preview
from .scrub import scrubbed
from .sidecar import checked_host_field, preview_of, read_host_fields, write_host_fields


@dataclass(frozen=True)
class Wanted:
    """What shall become of a file.

    Args:
        inside: change of its metadata.
        beside: fields of the WebUI's own file -> new value, None to take one out.
        preview: a PNG picture to put beside it.
        scrub: take private words out of the metadata, before `inside` is applied.
        keep_folders: a scrub leaves the names of folders.
    """

    inside: Change = field(default_factory=Change)
    beside: Mapping[str, Any] = field(default_factory=dict)
    preview: bytes | None = None
    scrub: bool = False
    keep_folders: bool = False


@dataclass(frozen=True)
class Planned:
    """What a change would do.

    Args:
        path: the file.
        header: as it is.
        after: the metadata it would have.
        inside, beside: what differs.
        folders: folder names that a scrub replaces.
        users: user names that a scrub takes out.
        preview: the picture that would be put beside it.
    """

    path: Path
    header: Header
    after: Mapping[str, str]
    inside: tuple[Difference, ...]
    beside: tuple[Difference, ...]
    folders: Mapping[str, str]
    users: tuple[str, ...]
    preview: Path | None = None

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to write."""
        return not (self.inside or self.beside or self.preview)


@dataclass(frozen=True)
class Mark:
    """A file and the WebUI's own file beside it, as they were when somebody looked; another mark means a change."""

    stamp: Stamp
    sidecar: int

    def __str__(self) -> str:
        """For the page, which gives it back with an edit."""
        return f"{self.stamp.size}-{self.stamp.mtime_ns}-{self.stamp.inode}-{self.sidecar}"


def mark_of(path: Path) -> Mark:
    """The mark of a file as it is now."""
    try:
        sidecar = path.with_suffix(".json").stat().st_mtime_ns
    except OSError:
        sidecar = 0
    return Mark(stamp_of(path), sidecar)


def planned(path: Path, wanted: Wanted) -> Planned:
    """What a change would do; nothing is written.

    Raises:
        UsageError: the change cannot be made.
        ModelFileError: the file is damaged.
    """
    header = read_header(path)
    fields = {name: None if value is None else checked_host_field(name, value) for name, value in wanted.beside.items()}
    before = dict(header.metadata)
    clean = scrubbed(before, keep_folders=wanted.keep_folders) if wanted.scrub else None
    after = changed_metadata(clean.metadata if clean else before, wanted.inside)
    check_size(path, header, after)
    return Planned(
        path,
        header,
        after,
        differences_between(before, after),
        _beside_differences(path, fields),
        clean.folders if clean else {},
        clean.users if clean else (),
        preview_target(path, preview_of(path)) if wanted.preview is not None else None,
    )


def apply(path: Path, wanted: Wanted, data: Path, *, mark: str | None = None) -> Planned:
    """Make a change; nothing is written when nothing changes.

    Args:
        path: a .safetensors file.
        wanted: what to do.
        data: Tanren's data folder, for the backup.
        mark: of the file when the user looked at it; the change is refused when it is another one since.

    Returns:
        What was changed.

    Raises:
        UsageError: the change cannot be made.
        ModelFileError: the file is damaged, or was changed by somebody else.
        StorageError: it could not be written; what was written until then can be undone.
    """
    now = mark_of(path)
    if mark is not None and mark != str(now):
        raise changed_meanwhile(path)
    plan = planned(path, wanted)
    if plan.is_empty:
        return plan
    picture = preview_of(path) if wanted.preview is not None else None
    backup = _keep(plan, wanted, picture, data)
    put_metadata(Edited(path, plan.inside, backup), plan.after, now.stamp)
    if plan.beside:
        write_host_fields(path, wanted.beside)
    if wanted.preview is not None:
        put_preview(path, wanted.preview, picture)
    return plan


def _keep(plan: Planned, wanted: Wanted, picture: Path | None, data: Path) -> Backup:
    beside = sidecar_entry(plan.path) if plan.beside else {}
    if wanted.preview is not None:
        kept = keep_preview(picture, data)
        beside |= preview_entry(picture, kept, preview_target(plan.path, picture))
    return keep_header(plan.path, plan.header, data, beside)


def _beside_differences(path: Path, fields: Mapping[str, Any]) -> tuple[Difference, ...]:
    if not fields:
        return ()
    before = read_host_fields(path)
    rows = ((name, before.get(name), value) for name, value in fields.items())
    return tuple(Difference(name, _text(old), _text(new)) for name, old, new in rows if old != new)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
