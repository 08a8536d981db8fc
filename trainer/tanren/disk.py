"""What is known about the disk: room, permission, and its failures in the user's words."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
import sys
from pathlib import Path

from .errors import StorageError

TEMP_PREFIX = ".tn-"
SPARE_BYTES = 32 * 2**20
LONG_PATH = 240
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


def storage_error(path: Path, error: OSError) -> StorageError:
    """The same failure in the user's words."""
    if error.errno in FULL:
        what, fix = "The disk is full or a quota is reached.", "Free some space or choose another output folder."
        with contextlib.suppress(OSError):
            what += f" {size_text(free_bytes(path.parent))} are free."
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        what, fix = "It cannot be written: read-only, or not yours.", "Change the permissions or choose another folder."
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        what, fix = "The folder is not there (any more).", "Check the path, and that the disk is still connected."
    else:
        what, fix = "Writing failed.", "Check the disk, or choose a folder on another one."
    return StorageError(where=str(path), what=what, why=f"The system says: {error.strerror or error}", fix=fix)


def free_bytes(folder: Path) -> int:
    """Free bytes for this user on the disk that holds `folder`, which need not exist yet."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def check_free_space(folder: Path, needed_bytes: int, *, what: str) -> None:
    """Raise `StorageError` with both numbers unless the disk has room for `needed_bytes` and some to spare."""
    free = free_bytes(folder)
    if free < needed_bytes + SPARE_BYTES:
        raise StorageError(
            where=str(folder),
            what=f"{what} needs {size_text(needed_bytes)}, but only {size_text(free)} are free there.",
            fix="Free some space, choose a folder on another disk, or keep fewer files (--save_last_n_epochs).",
        )


def probe_writable(folder: Path) -> None:
    """Really write, rename and delete a small file in `folder`, which is made when missing.

    Raises:
        StorageError: one of these is not possible.
    """
    first, second = (folder / f"{TEMP_PREFIX}{secrets.token_hex(4)}.tmp" for _ in range(2))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        first.write_bytes(b"probe")
        first.replace(second)
        second.unlink()
    except OSError as error:
        for left in (first, second):
            with contextlib.suppress(OSError):
                left.unlink()
        raise storage_error(folder, error) from error


def native(path: Path) -> Path:
    """The path in the form the system takes at any length: Windows wants a prefix beyond 240 characters."""
    text = str(path)
    if sys.platform != "win32" or len(text) <= LONG_PATH or text.startswith("\\\\"):
        return path
    return Path("\\\\?\\" + text)


def size_text(count: int) -> str:
    """A number of bytes as people read it: 1.5 MiB."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
