"""The cache of a data folder, seen from outside: how large it is, and emptying it.

Whatever lies there was computed or fetched, and is computed or fetched again when a run needs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from ..disk import storage_error
from ..errors import BusyError
from .folder import bytes_below
from .shelf import Shelf

CACHE = "cache"
# Packed values with their index, states fetched from the hub, and the index of the LoRA folders.
OURS, OUR_FOLDERS = ("*.pack", "index.sqlite3*"), ("hub", "library")
PROC = Path("/proc")
WAIT = "Wait until it ends, or stop it first."


def cache_bytes(shelf: Shelf) -> int:
    """Size of the cache."""
    return bytes_below(shelf.data_dir / CACHE)


def empty_cache(shelf: Shelf) -> int:
    """Remove everything that runs keep in the cache, and return how many bytes that were.

    Raises:
        BusyError: a training runs, which reads it.
        StorageError: something could not be removed.
    """
    folder = shelf.data_dir / CACHE
    # No job is started meanwhile.
    with shelf.lock():
        running = next((job for job in shelf.all() if job.look().is_active), None)
        if running is not None:
            name = running.envelope().name or running.id
            raise BusyError(where=str(folder), what=f"{name!r} is running and reads the cache.", fix=WAIT)
        reader = _reader_of(folder)
        if reader is not None:
            raise BusyError(where=str(folder), what=f"Process {reader} reads the cache.", fix=WAIT)
        before = cache_bytes(shelf)
        try:
            for path in [path for pattern in OURS for path in folder.glob(pattern)]:
                path.unlink(missing_ok=True)
            for path in (folder / name for name in OUR_FOLDERS):
                if path.is_dir():
                    shutil.rmtree(path)
        except OSError as error:
            raise storage_error(folder, error) from error
        return before - cache_bytes(shelf)


def _reader_of(folder: Path) -> int | None:
    """A process that was started at a shell and has cached values open; None where that cannot be seen."""
    inside = os.fsencode(folder.resolve()) + b"/"
    for entry in PROC.iterdir() if PROC.joinpath("self", "maps").exists() else ():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and inside in entry.joinpath("maps").read_bytes():
                return int(entry.name)
    return None
