"""Faults at every call to the file system: a process that dies there, or a disk that refuses.

The calls of `os` and the writes to opened files are counted; at the chosen one the process ends without any clean-up
(as with `kill -9`, half of a write done), or the call raises.
"""

from __future__ import annotations

import builtins
import errno
import io
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CALLS = ("open", "write", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir", "chmod", "ftruncate", "truncate")
DIED = 86


class _CountedFile(io.BufferedRandom):
    """A file whose writes are counted."""

    tick: Callable[[str], None]
    on_half_write: Callable[[], bool]

    def write(self, data) -> int:  # type: ignore[override]
        block = memoryview(data).cast("B")
        if self.on_half_write():
            super().write(block[: len(block) // 2])
            super().flush()
        self.tick("file.write")
        return super().write(block)


class FaultyDisk:
    """Counts calls; at call number `at` does `fault`."""

    def __init__(self, at: int | None, fault: Callable[[], None]) -> None:
        self.at, self.fault, self.count, self.trace = at, fault, 0, list[str]()

    def tick(self, name: str) -> None:
        self.count += 1
        self.trace.append(name)
        if self.count == self.at:
            self.fault()

    def is_next(self) -> bool:
        return self.count + 1 == self.at


@contextmanager
def faulty_disk(at: int | None, fault: Callable[[], None]) -> Iterator[FaultyDisk]:
    """Inside, call number `at` (1 is the first) fails; None only counts."""
    disk = FaultyDisk(at, fault)
    originals = {name: getattr(os, name) for name in CALLS}
    fdopen, plain_open = os.fdopen, builtins.open

    def wrapped(name: str) -> Callable:
        def call(*args, **kwargs):
            is_folder = name == "fsync" and Path(f"/proc/self/fd/{args[0]}").is_dir()
            disk.tick("fsync folder" if is_folder else name)
            return originals[name](*args, **kwargs)

        return call

    def counted(raw: io.FileIO) -> _CountedFile:
        file = _CountedFile(raw)
        file.tick, file.on_half_write = disk.tick, disk.is_next
        return file

    def open_descriptor(descriptor, mode="r", *rest, **named):
        return counted(io.FileIO(descriptor, mode)) if mode == "w+b" else fdopen(descriptor, mode, *rest, **named)

    def open_path(file, mode="r", *rest, **named):
        if mode == "wb":
            disk.tick("open")
            return counted(io.FileIO(file, "w+"))
        return plain_open(file, mode, *rest, **named)

    try:
        for name in CALLS:
            setattr(os, name, wrapped(name))
        os.fdopen, builtins.open, io.open = open_descriptor, open_path, open_path
        yield disk
    finally:
        for name, original in originals.items():
            setattr(os, name, original)
        os.fdopen, builtins.open, io.open = fdopen, plain_open, plain_open


def count_calls(act: Callable[[], object]) -> list[str]:
    """The calls that `act` makes when nothing fails."""
    with faulty_disk(None, _nothing) as disk:
        act()
    return disk.trace


def die_at(call: int, act: Callable[[], object]) -> None:
    """Run `act` in a child process that dies at its `call`-th call; asserts that it did."""

    def child() -> None:
        with faulty_disk(call, lambda: os._exit(DIED)):
            act()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == DIED, process.exitcode


def refuse_at(call: int, number: int, act: Callable[[], object]) -> None:
    """Run `act` with its `call`-th call raising OSError `number`."""
    with faulty_disk(call, lambda: _refuse(number)):
        act()


def leftovers(folder: Path) -> list[str]:
    """Names of ours that only a killed writer leaves."""
    return [name for name in names_in(folder) if name.startswith(".tn-")]


def names_in(folder: Path) -> list[str]:
    """Names of a folder's entries, sorted."""
    return sorted(entry.name for entry in folder.iterdir())


def _refuse(number: int) -> None:
    raise OSError(number, os.strerror(number))


def _nothing() -> None:
    pass


DISK_ERRORS = (errno.ENOSPC, errno.EROFS, errno.EIO)
