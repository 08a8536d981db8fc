"""How long backups of edited files are kept: 30 days, and the last five of each file while there is room.

What goes, the oldest first: backups of which their file has five newer ones, once they are 30 days old; and when all
together are larger than 2 GB, whatever is not the newest of its file. The picture that belongs to one goes with it.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

KEPT, DAYS, MOST_BYTES = 5, 30, 2 * 10**9
DAY = 24 * 3600.0
# Milliseconds since 1970, then the place of the model file or "preview", then a random part.
_BACKUP = re.compile(r"(?P<moment>\d{13})-(?P<place>[0-9a-f]{12})-[0-9a-f]{8}\.json")
_PICTURE = re.compile(r"(?P<moment>\d{13})-preview-[0-9a-f]{8}\.[a-z]{3,4}")


@dataclass(frozen=True)
class _Kept:
    """A backup; `newer` is how many newer ones its file has."""

    path: Path
    moment: float
    size: int
    newer: int


def make_room(folder: Path, *, most_bytes: int = MOST_BYTES, now: float | None = None) -> list[Path]:
    """Remove what is no longer kept, and return what that was.

    Args:
        folder: of the backups; what is not a backup by its name is left alone.
        most_bytes: of all backups together.
        now: unix time, instead of the clock's.
    """
    moment = time.time() if now is None else now
    kept, pictures = _listed(folder)
    total = sum(one.size for one in kept)
    gone: list[Path] = []
    for one in sorted(kept, key=lambda backup: backup.moment):
        is_old = one.newer >= KEPT and moment - one.moment > DAYS * DAY
        is_too_much = total > most_bytes and one.newer
        if is_old or is_too_much:
            gone += _removed(one.path, pictures)
            total -= one.size
    return gone


def _listed(folder: Path) -> tuple[list[_Kept], dict[str, Path]]:
    """The backups, and the pictures by their names."""
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name for entry in entries), reverse=True)
    except OSError:
        return [], {}
    counts: dict[str, int] = {}
    kept = []
    for name in names:
        found = _BACKUP.fullmatch(name)
        if found is None:
            continue
        newer = counts.get(found["place"], 0)
        counts[found["place"]] = newer + 1
        with contextlib.suppress(OSError):
            path = folder / name
            kept.append(_Kept(path, int(found["moment"]) / 1000, path.stat().st_size, newer))
    return kept, {name: folder / name for name in names if _PICTURE.fullmatch(name)}


def _removed(backup: Path, pictures: dict[str, Path]) -> list[Path]:
    """Remove a backup with its picture; what cannot be removed now is removed another time."""
    try:
        content = backup.read_text("utf-8", "replace") if pictures else ""
        backup.unlink()
    except OSError:
        return []
    gone = [backup]
    for name, path in pictures.items():
        if f'"{name}"' in content:
            with contextlib.suppress(OSError):
                path.unlink()
                gone.append(path)
    return gone
