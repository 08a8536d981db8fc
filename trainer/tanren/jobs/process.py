"""Who a process is, so that nobody takes another one with the same number for it.

Numbers are used again after a process ended, and after the machine was started anew; number, start time and boot
together name one process only.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Identity:
    """One process of one run of the machine.

    Args:
        pid: its number.
        started: its start, in the system's own words; empty where they cannot be had.
        boot: the machine's run; empty where it has no name.
    """

    pid: int
    started: str
    boot: str


def identity_of(pid: int) -> Identity | None:
    """The process that has this number now, or None."""
    started = _start_of(pid)
    return None if started is None else Identity(pid, started, _boot_id())


def this_process() -> Identity:
    """The process that asks."""
    return identity_of(os.getpid()) or Identity(os.getpid(), "", _boot_id())


def is_alive(identity: Identity) -> bool:
    """True while that very process runs."""
    return identity_of(identity.pid) == identity


def _start_of(pid: int) -> str | None:
    """When a process started, or None when there is none (a zombie, which only waits to be noticed, counts as none)."""
    if sys.platform == "win32":
        return _start_on_windows(pid)
    if not Path("/proc/self/stat").exists():
        return _start_by_ps(pid)
    with contextlib.suppress(OSError, IndexError):
        # The name, in parentheses, may hold spaces; state is the field after it, start time the twentieth.
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    return None


def _start_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _start_on_windows(pid: int) -> str | None:
    if sys.platform != "win32":
        return None
    import ctypes

    kernel = ctypes.windll.kernel32
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return None
    try:
        times = (ctypes.c_ulonglong * 4)()
        code = ctypes.c_ulong()
        place = ctypes.addressof(times)
        known = kernel.GetProcessTimes(
            ctypes.c_void_p(handle), *(ctypes.c_void_p(place + 8 * index) for index in range(4))
        )
        running = kernel.GetExitCodeProcess(ctypes.c_void_p(handle), ctypes.byref(code)) and code.value == 259
        return str(times[0]) if known and running else None
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""
