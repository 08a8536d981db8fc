"""Ending a trainer with everything it started, and making sure that nothing of it is left.

A process is ours when it carries the attempt's nonce: in its environment where that can be read (Linux), else in what
the holder of `job.lock` says about itself. What is not ours by that is never touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ..locks import lock_holder
from .folder import LOCK, NONCE_VARIABLE, Runner, read_runner
from .process import Identity, is_alive

PROC = Path("/proc")
TERM_SECONDS = 10.0
KILL_SECONDS = 5.0
LOOK_SECONDS = 0.1
# The trainer takes the first TERM for "stop and save", the second one ends it.
BETWEEN_TERMS_SECONDS = 0.3


def processes_of(nonce: str) -> list[int]:
    """Numbers of all live processes that carry the nonce, workers included; empty where environments cannot be read."""
    if not nonce or not PROC.joinpath("self", "environ").exists():
        return []
    return sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit() and _carries(entry, nonce))


def is_ours(folder: Path, runner: Runner) -> bool:
    """True when the process that a runner names runs, and was started for that very attempt."""
    if runner.pid is None or not is_alive(Identity(runner.pid, runner.started, runner.boot)):
        return False
    if PROC.joinpath("self", "environ").exists():
        return _carries(PROC / str(runner.pid), runner.nonce)
    return (lock_holder(folder / LOCK) or {}).get("nonce") == runner.nonce


def is_left(folder: Path, runner: Runner) -> bool:
    """True while the attempt's trainer, or anything that it started, runs.

    A process that ends has lost its environment a moment before it lets go of the lock.
    """
    holds_lock = (lock_holder(folder / LOCK) or {}).get("nonce") == runner.nonce
    return holds_lock or is_ours(folder, runner) or bool(processes_of(runner.nonce))


def end_attempt(folder: Path, *, at_once: bool, term_seconds: float = TERM_SECONDS) -> bool:
    """End the newest attempt of a job: TERM to its group, and KILL to whatever is left after ten seconds.

    Args:
        folder: of the job.
        at_once: without waiting for it to save. Otherwise it may still do so within these seconds.
        term_seconds: from TERM to KILL.

    Returns:
        True when nothing of the attempt is left, or there was nothing; False when something resists.
    """
    runner = read_runner(folder)
    if runner is None:
        return True
    if sys.platform == "win32":
        return _end_on_windows(folder, runner)
    _signal_all(folder, runner, signal.SIGTERM)
    if at_once and not _wait_for_end(folder, runner, BETWEEN_TERMS_SECONDS):
        _signal_all(folder, runner, signal.SIGTERM)
    if _wait_for_end(folder, runner, term_seconds):
        return True
    until = time.monotonic() + KILL_SECONDS
    while time.monotonic() < until:
        # Again and again: what is being started at this moment is seen at the next look.
        _signal_all(folder, runner, signal.SIGKILL)
        if _wait_for_end(folder, runner, 2 * LOOK_SECONDS):
            return True
    return False


def _signal_all(folder: Path, runner: Runner, number: int) -> None:
    """Send a signal to the group of a trainer of ours, and to each process outside of it that carries the nonce."""
    if sys.platform == "win32":
        return
    others = processes_of(runner.nonce)
    if runner.pid is not None and is_ours(folder, runner):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(runner.pid) == runner.pid:
                os.killpg(runner.pid, number)
                others = [pid for pid in others if _group_of(pid) != runner.pid]
    for pid in others:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _wait_for_end(folder: Path, runner: Runner, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while is_left(folder, runner):
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _group_of(pid: int) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _carries(entry: Path, nonce: str) -> bool:
    try:
        if f"{NONCE_VARIABLE}={nonce}".encode() not in entry.joinpath("environ").read_bytes().split(b"\0"):
            return False
        # A zombie only waits to be noticed.
        return entry.joinpath("stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def _end_on_windows(folder: Path, runner: Runner) -> bool:
    """There is no soft signal for a process without a console; `control.json` was that."""
    if is_ours(folder, runner):
        program = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        command = [str(program), "/PID", str(runner.pid), "/T", "/F"]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return _wait_for_end(folder, runner, TERM_SECONDS)
