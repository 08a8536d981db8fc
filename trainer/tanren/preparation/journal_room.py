"""How long the journal keeps what files were before a change: 90 days, and the last 200 changes while there is room.

When all together are larger than 5 GB, what undone changes would need to be made again goes first, then the oldest.
What was kept of the newest change always stays, and so does that of one at work or half undone. A change that is
forgotten leaves its title and time, so that undoing it can say why that is no longer possible; the last 1,000 of these
stay.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import StorageError
from ..files import write_json
from .journal_log import BEGUN, DONE, FORGOTTEN, KEPT, LOG, OPERATION, STOPPED, UNDONE, Operation, read_operation

KEPT_WHOLE, DAYS, MOST_BYTES, NAMED = 200, 90, 5 * 10**9, 1000
DAY = 24 * 3600.0
RULE = "Earlier contents of files are kept for 90 days and for the last 200 changes, 5 GB at most."


@dataclass(frozen=True)
class _Kept:
    """A change whose contents are kept; `newer` is how many newer ones there are."""

    place: Path
    size: int
    newer: int

    def is_old(self, now: float) -> bool:
        """True when neither its age nor its place among the others keeps it."""
        if self.newer < KEPT_WHOLE:
            return False
        found = read_operation(self.place)
        return found is not None and now - found.time > DAYS * DAY


def make_room(places: Sequence[Path], *, most_bytes: int = MOST_BYTES, now: float | None = None) -> list[int]:
    """Forget what is no longer kept; the caller holds the journal's lock.

    Args:
        places: the folders of all operations, the oldest first.
        most_bytes: of all together.
        now: unix time, instead of the clock's.

    Returns:
        The numbers of those that were forgotten.
    """
    moment = time.time() if now is None else now
    kept = _listed(places)
    gone = [one for one in kept if one.is_old(moment) and _forgotten(one.place, moment)]
    total = sum(one.size for one in kept) - sum(one.size for one in gone)
    if total > most_bytes:
        for one in _by_worth([one for one in kept if one not in gone and one.newer]):
            if total <= most_bytes:
                break
            if _forgotten(one.place, moment):
                gone.append(one)
                total -= one.size
    _drop_names(places)
    return [int(one.place.name) for one in gone]


def _listed(places: Sequence[Path]) -> list[_Kept]:
    sizes = [(place, _size(place)) for place in places]
    there = [(place, size) for place, size in sizes if size is not None]
    return [_Kept(place, size, len(there) - number) for number, (place, size) in enumerate(there, 1)]


def _size(place: Path) -> int | None:
    """Bytes of what is kept of a change; None when it is forgotten."""
    try:
        return (place / LOG).stat().st_size + _bytes(place / KEPT)
    except OSError:
        return None


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _by_worth(kept: Sequence[_Kept]) -> list[_Kept]:
    """What goes first, first."""
    states = {one.place: getattr(read_operation(one.place), "state", "") for one in kept}
    return sorted(kept, key=lambda one: (states[one.place] != UNDONE, -one.newer))


def _forgotten(place: Path, now: float) -> bool:
    """Forget a change; False when it is at work, half undone, or cannot be forgotten now."""
    found = read_operation(place)
    if found is None or found.state not in (BEGUN, DONE, UNDONE, STOPPED, FORGOTTEN):
        return False
    try:
        if found.state != FORGOTTEN:
            _leave_the_name(found, now)
        # Last the log: while it is there, what a killed process left is found again.
        for name in (KEPT, LOG):
            (place / name).unlink(missing_ok=True)
    except (OSError, ValueError, StorageError):
        # A disk that is full or read-only; it is tried again before the next change.
        return False
    return True


def _leave_the_name(found: Operation, now: float) -> None:
    about = json.loads((found.place / OPERATION).read_text("utf-8"))
    write_json(found.place / OPERATION, {**about, "forgotten": now, "files": found.files})


def _drop_names(places: Sequence[Path]) -> None:
    for place in places[:-NAMED]:
        found = read_operation(place)
        if found is not None and found.state == FORGOTTEN:
            shutil.rmtree(place, ignore_errors=True)
