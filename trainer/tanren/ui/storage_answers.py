"""What the page is told of deleted jobs and of the cache, and what it may do with them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..jobs import cache_folder, trash
from ..jobs.shelf import Shelf
from .guard import Refused

TRASH_ACTIONS = ("put_back", "remove")


def trashed(shelf: Shelf) -> dict[str, Any]:
    """Every deleted job."""
    return {"jobs": [asdict(job) for job in trash.trashed_jobs(shelf)]}


def change_trash(shelf: Shelf, name: str, action: str) -> dict[str, Any]:
    """Put a deleted job back, or remove it for good; tells where files of somebody else have stayed."""
    if action not in TRASH_ACTIONS:
        raise Refused(404, what="There is no such action.", why=", ".join(TRASH_ACTIONS))
    if name not in trash.trashed(shelf):
        raise Refused(404, what="There is no such deleted job.", fix="Load the page anew.")
    if action == "put_back":
        trash.put_back(shelf, name)
        return {"ok": True, "left": None}
    is_gone = trash.remove_for_good(shelf, name)
    return {"ok": True, "left": None if is_gone else str(shelf.trash / name)}


def cache(shelf: Shelf) -> dict[str, Any]:
    """How large the cache is."""
    return {"bytes": cache_folder.cache_bytes(shelf)}


def empty_cache(shelf: Shelf) -> dict[str, Any]:
    """Empty it; tells how much that has freed."""
    return {"ok": True, "freed": cache_folder.empty_cache(shelf), **cache(shelf)}
