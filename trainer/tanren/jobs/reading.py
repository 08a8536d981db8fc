"""Reading files that a trainer goes on writing: from a byte offset, whole lines only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK_BYTES = 4 * 2**20
STEP_LINE = b'{"kind": "step"'


@dataclass(frozen=True)
class Lines:
    """Whole lines from a place on.

    Args:
        lines: without their ends.
        next: where the following ones begin.
        more: there are some already.
    """

    lines: list[bytes]
    next: int
    more: bool


def read_lines_from(path: Path, since: int, limit: int = CHUNK_BYTES) -> Lines:
    """Whole lines from a byte offset on; a torn last one is left for later.

    Args:
        path: a missing file has no lines.
        since: as `next` said; behind the end of the file (it was made anew) means from its beginning.
        limit: bytes read at once.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            since = since if 0 <= since <= size else 0
            file.seek(since)
            data = file.read(limit)
            while b"\n" not in data and since + len(data) < size and (block := file.read(limit)):
                data += block
    except OSError:
        return Lines([], max(0, since), False)
    whole = data.rfind(b"\n") + 1
    return Lines(data[:whole].split(b"\n")[:-1], since + whole, whole > 0 and since + len(data) < size)


def tail_events(path: Path, limit: int) -> list[dict[str, Any]]:
    """The events in the last `limit` bytes, the oldest first."""
    try:
        size = path.stat().st_size
    except OSError:
        return []
    lines = read_lines_from(path, max(0, size - limit), limit).lines
    return list(events_of(lines[1:] if size > limit else lines))


def events_of(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    """The events that lines hold; what is none is passed over."""
    for line in lines:
        event = event_of(line)
        if event is not None:
            yield event


def event_of(line: bytes) -> dict[str, Any] | None:
    """The event of one line."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
