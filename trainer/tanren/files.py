"""Files that survive crashes: durable writes and line-wise appends.

A durable write goes to `.tn-<8 hex>.tmp` beside its target, is flushed to the disk, read back, and then renamed over
the target, so that every visible file is complete: the old one or the new one. Names are short because file systems
allow 255 bytes and a long Japanese name plus a suffix would not fit. A live writer holds a lock of the operating system
on its temporary file; what carries none and is older than its finder was left by a killed process (`folders.sweep`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from .disk import TEMP_PREFIX, check_free_space, native, storage_error
from .errors import StorageError
from .locks import OPEN_FLAGS, WINDOWS, claim

MANY = 8
SHARING_ERRORS = (5, 32, 1224)
SHARING_PAUSES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7, 0.7, 0.8)


def durable_write(
    path: Path,
    write: Callable[[BinaryIO], None],
    *,
    verify: Callable[[Path], None] | None = None,
    expected_bytes: int = 0,
    sync: bool = True,
) -> Path:
    """Create or replace a file so that a crash at any moment leaves the old one or the new one.

    Args:
        path: the final name; a symbolic link stays one and its target is replaced. The folder must exist.
        write: fills the open file, from its start.
        verify: reads the finished temporary file and raises when it is not as it should be.
        expected_bytes: refuse beforehand when the disk has no room for so much.
        sync: False for what can be made again (progress, caches): as atomic, but not forced onto the disk.

    Returns:
        The real path that was written.

    Raises:
        StorageError: no room, read-only, vanished, or the bytes did not arrive. The target is untouched.
    """
    target = native(Path(os.path.realpath(path)))
    if expected_bytes:
        check_free_space(target.parent, expected_bytes, what=target.name)
    temp = target.parent / f"{TEMP_PREFIX}{secrets.token_hex(4)}.tmp"
    try:
        with _claimed(temp) as descriptor:
            _fill(descriptor, temp, write, sync)
            _keep_mode(temp, target)
            if verify is not None:
                verify(temp)
            _replace(temp, target)
        if sync:
            sync_folder(target.parent)
    except OSError as error:
        _remove_quietly(temp)
        raise storage_error(path, error) from error
    except BaseException:
        _remove_quietly(temp)
        raise
    return target


def write_together(writes: Sequence[tuple[Path, Callable[[BinaryIO], None]]]) -> None:
    """Create or replace many small files; each is durable when this returns, at a fraction of the price of one by one.

    A crash leaves each of them old or new. All new contents reach the disk before the first name does.

    Args:
        writes: the final names, and what fills the open files. The folders must exist.

    Raises:
        StorageError: as `durable_write`; the targets from the one it names on are untouched.
    """
    with contextlib.ExitStack() as claims:
        pairs: list[tuple[Path, Path]] = []
        try:
            for path, write in writes:
                target = native(Path(os.path.realpath(path)))
                temp = target.parent / f"{TEMP_PREFIX}{secrets.token_hex(4)}.tmp"
                pairs.append((temp, target))
                _fill(claims.enter_context(_claimed(temp)), temp, write, sync=False)
                _keep_mode(temp, target)
            _sync_files([temp for temp, _ in pairs])
            for temp, target in pairs:
                _replace(temp, target)
        except OSError as error:
            _remove_all(pairs)
            raise storage_error(pairs[-1][1] if pairs else Path(), error) from error
        except BaseException:
            _remove_all(pairs)
            raise
    for folder in {target.parent for _, target in pairs}:
        sync_folder(folder)


def write_text(path: Path, text: str, *, sync: bool = True) -> Path:
    """Create or replace a UTF-8 text file durably."""
    data = text.encode("utf-8")
    return durable_write(path, lambda file: _write_all(file, data), sync=sync)


def write_json(path: Path, content: object, *, sync: bool = True) -> Path:
    """Create or replace a JSON file durably; keys keep their order, NaN is refused."""
    return write_text(path, json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", sync=sync)


def append_line(path: Path, line: str) -> None:
    """Append one line in one write, so that readers see it whole or torn at the very end, never mixed."""
    data = (line.rstrip("\n") + "\n").encode("utf-8", "backslashreplace")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | OPEN_FLAGS, 0o666)
        try:
            if os.write(descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(path, error) from error


def read_lines(path: Path) -> list[str]:
    """All complete lines; a torn last one (its writer was killed) is left out. No file: no lines."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].decode("utf-8", "replace").splitlines()


def cut_torn_line(path: Path) -> int:
    """Remove a torn last line before appending again; returns the number of bytes removed."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    return len(data) - whole


def sync_folder(folder: Path) -> None:
    """Force a folder's names onto the disk; Windows has no such call and needs none."""
    if WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems refuse fsync on folders; the rename itself has succeeded.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _claimed(temp: Path) -> Iterator[int]:
    descriptor = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, 0o666)
    if WINDOWS:
        # An open file cannot be renamed there, so nothing may outlive the writing.
        yield descriptor
        return
    with claim(os.dup(descriptor)):
        yield descriptor


def _fill(descriptor: int, temp: Path, write: Callable[[BinaryIO], None], sync: bool) -> None:
    with os.fdopen(descriptor, "w+b") as file:
        write(file)
        file.flush()
        if sync:
            os.fsync(file.fileno())
        written = file.seek(0, os.SEEK_END)
    if temp.stat().st_size != written:
        raise OSError(errno.EIO, f"{written} bytes were written, {temp.stat().st_size} arrived")


def _write_all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _keep_mode(temp: Path, target: Path) -> None:
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return
    temp.chmod(mode)


def _replace(temp: Path, target: Path) -> None:
    """Rename over the target; Windows refuses while a scanner or viewer has it open, mostly for a moment."""
    for pause in SHARING_PAUSES:
        try:
            temp.replace(target)
        except OSError as error:
            if getattr(error, "winerror", None) not in SHARING_ERRORS:
                raise
            time.sleep(pause)
        else:
            return
    kept = target.with_name(f"{target.stem}.new-{secrets.token_hex(4)}{target.suffix}")
    temp.replace(kept)
    raise StorageError(
        where=str(target),
        what="Another program keeps it open, so it could not be replaced.",
        why=f"The new content is complete in {kept.name}, beside it.",
        fix="Close the other program and rename the new file, or keep it under that name.",
    )


def _sync_files(paths: Sequence[Path]) -> None:
    if len(paths) > MANY and sys.platform == "linux":
        # One wait for all: a disk takes some milliseconds for each. Elsewhere the call may return too early.
        os.sync()
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDWR | OPEN_FLAGS)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove_all(pairs: Sequence[tuple[Path, Path]]) -> None:
    for temp, _ in pairs:
        _remove_quietly(temp)


def _remove_quietly(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
