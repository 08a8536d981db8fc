"""Locks that the operating system frees when their owner dies, so that stale files mean nothing.

A lock file holds JSON about its owner (pid, host, time, and what the caller adds), for messages and observers. On
Windows the locked byte lies far behind the text, so that others can read it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .disk import storage_error
from .errors import BusyError

WINDOWS = sys.platform == "win32"
LOCK_BYTE = 2**30
OPEN_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class Lock:
    """A lock that the operating system frees when its owner dies; the file's existence means nothing.

    The file holds JSON about the owner (pid, host, time, and what the caller adds), for messages and observers. With
    `is_passing` it goes when the lock is freed, for folders that belong to the user.
    """

    def __init__(self, path: Path, *, is_passing: bool = False, **info: Any) -> None:
        self.path, self.is_passing = path, is_passing
        self.info = {"pid": os.getpid(), "host": socket.gethostname(), "time": time.time(), **info}
        self._descriptor: int | None = None

    def acquire(self, *, what: str, wait: float = 1.0) -> Lock:
        """Take the lock or raise `BusyError` naming the holder.

        Args:
            what: the thing that is locked, for the message.
            wait: seconds to try; observers hold locks for an instant when they look.
        """
        until = time.monotonic() + wait
        descriptor = self._open()
        while not (_try_lock(descriptor) and self._is_still_there(descriptor)):
            os.close(descriptor)
            if time.monotonic() >= until:
                raise _busy(self.path, what)
            time.sleep(0.02)
            descriptor = self._open()
        self._descriptor = descriptor
        self._write_info(descriptor)
        _close_in_children(self)
        return self

    def release(self) -> None:
        """Free the lock."""
        if self._descriptor is None:
            return
        if self.is_passing and not WINDOWS:
            # While it is still held: whoever waits sees that the name is gone and makes a new file.
            with contextlib.suppress(OSError):
                self.path.unlink()
        _unlock(self._descriptor)
        self.forget()
        if self.is_passing and WINDOWS:
            # Windows itself refuses when somebody else has opened it meanwhile.
            with contextlib.suppress(OSError):
                self.path.unlink()

    def forget(self) -> None:
        """Close this process's handle without freeing the lock for others that share it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, 0o666)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def _is_still_there(self, descriptor: int) -> bool:
        """False when the holder before removed the file between our opening and our locking it."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _write_info(self, descriptor: int) -> None:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(self.info).encode())

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_holder(path: Path) -> Mapping[str, Any] | None:
    """What the live holder of a lock says about itself; None when nobody holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | OPEN_FLAGS)
    except OSError:
        return None
    try:
        if _try_lock(descriptor):
            _unlock(descriptor)
            return None
        with contextlib.suppress(ValueError):
            info = json.loads(os.read(descriptor, 2**16))
            return info if isinstance(info, dict) else {}
        return {}
    finally:
        os.close(descriptor)


def is_claimed(path: Path) -> bool:
    """True while a live process writes this temporary file or folder."""
    if sys.platform == "win32":
        return False  # Windows itself refuses to remove what is open.
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def claim(descriptor: int) -> Iterator[None]:
    """Hold the lock that tells `is_claimed` that somebody is at work; file systems without locks go without."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, LOCK_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, LOCK_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _close_in_children(lock: Lock) -> None:
    """Keep forked workers from holding the lock after its owner was killed."""
    if not hasattr(os, "register_at_fork"):
        return
    reference = weakref.ref(lock)

    def forget() -> None:
        held = reference()
        if held is not None:
            held.forget()

    os.register_at_fork(after_in_child=forget)


def _busy(path: Path, what: str) -> BusyError:
    holder = lock_holder(path) or {}
    since = holder.get("time")
    when = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(since)) if isinstance(since, (int, float)) else ""
    return BusyError(
        where=str(path),
        what=f"{what} is in use by process {holder.get('pid', '?')} on {holder.get('host', '?')}{when}.",
        fix="Wait until it ends, or stop it first.",
    )
