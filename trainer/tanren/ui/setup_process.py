"""The process that makes the trainer's environment for the page: started apart from the UI, found again, ended.

`tanren-setup-run.json` in the environment's folder names it; the nonce it carries tells its children, pip above all,
from other processes. What it says goes to a file by path, so that it outlives the UI.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..child_process import child_environment
from ..disk import storage_error
from ..environment import LOCK, LOG, RUN, Environment
from ..environment_setup import DOWNLOADS
from ..errors import BusyError, EnvironmentProblem
from ..files import write_json
from ..jobs.ending import processes_of
from ..jobs.folder import NONCE_VARIABLE, read_object
from ..jobs.process import Identity, identity_of, is_alive
from ..locks import lock_holder

SECONDS_TO_END = (5.0, 5.0, 5.0)
LOOK_SECONDS = 0.1
# Of the Windows API: CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW.
WINDOWS_FLAGS = 0x00000200 | 0x08000000


def start(environment: Environment, command: Sequence[str], action: str, section: str = "") -> subprocess.Popen[bytes]:
    """Start a set-up; its log begins anew.

    Args:
        environment: whose folder the record and the log go to; made when missing.
        command: the whole command line.
        action: "setup" or "repair", for the record.
        section: of the pin file, when packages are added; for the record, too.

    Raises:
        StorageError: the folder cannot be written.
        EnvironmentProblem: the interpreter cannot be started.
    """
    nonce = secrets.token_hex(16)
    variables = child_environment(PYTHONUNBUFFERED="1", TANREN_VENV=str(environment.folder))
    variables[NONCE_VARIABLE] = nonce
    try:
        environment.folder.mkdir(parents=True, exist_ok=True)
        log = (environment.folder / LOG).open("wb")
    except OSError as error:
        raise storage_error(environment.folder / LOG, error) from error
    with log:
        process = _detached(command, variables, log, environment.folder)
    identity = identity_of(process.pid)
    record = asdict(identity) if identity else {}
    write_json(environment.folder / RUN, {"version": 1, "action": action, "section": section, "nonce": nonce, **record})
    return process


def is_running(environment: Environment) -> bool:
    """True while a set-up is at work in this folder, from whatever UI or terminal it was started."""
    record = read_object(environment.folder / RUN)
    return _lives(record) or lock_holder(environment.folder / LOCK) is not None


def last_record(environment: Environment) -> dict[str, Any]:
    """What is known about the newest set-up that was started from a page; empty when there was none."""
    return read_object(environment.folder / RUN)


def cancel(environment: Environment) -> None:
    """End the set-up with everything it started, and take its half downloads away.

    Raises:
        BusyError: it was started elsewhere (a terminal), or resists.
    """
    record = read_object(environment.folder / RUN)
    if not _lives(record) and lock_holder(environment.folder / LOCK) is not None:
        raise BusyError(
            where=str(environment.folder),
            what="This set-up was started in a terminal.",
            fix="End it there with Ctrl-C.",
        )
    write_json(environment.folder / RUN, {**record, "cancelled": True})
    if not _end(record):
        raise BusyError(
            where=str(environment.folder),
            what=f"The set-up (process {record.get('pid')}) could not be ended.",
            fix="End it with the tools of your system.",
        )
    shutil.rmtree(environment.folder / DOWNLOADS, ignore_errors=True)


def _detached(command: Sequence[str], variables: dict[str, str], log: Any, folder: Path) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
    options |= {"env": variables, "cwd": folder}
    options |= {"creationflags": WINDOWS_FLAGS} if sys.platform == "win32" else {"start_new_session": True}
    try:
        return subprocess.Popen(list(command), **options)
    except OSError as error:
        raise EnvironmentProblem(
            where=command[0],
            what="The set-up could not be started.",
            why=str(error),
            fix="Install Python 3.11 from python.org, and try again.",
        ) from error


def _lives(record: dict[str, Any]) -> bool:
    pid = record.get("pid")
    if not isinstance(pid, int):
        return False
    return is_alive(Identity(pid, str(record.get("started", "")), str(record.get("boot", ""))))


def _end(record: dict[str, Any]) -> bool:
    """Ask three times, each time less politely; True when nothing is left."""
    if sys.platform == "win32":
        program = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        if _lives(record):
            words = [str(program), "/PID", str(record["pid"]), "/T", "/F"]
            subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return _is_gone(record, SECONDS_TO_END[0])
    # Ctrl-C first: pip and the launcher tidy up behind themselves.
    for number, seconds in zip((signal.SIGINT, signal.SIGTERM, signal.SIGKILL), SECONDS_TO_END, strict=True):
        _signal_all(record, number)
        if _is_gone(record, seconds):
            return True
    return False


def _signal_all(record: dict[str, Any], number: int) -> None:
    if sys.platform == "win32":
        return
    pids = set(processes_of(str(record.get("nonce", ""))))
    if _lives(record):
        pids.add(int(record["pid"]))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(record["pid"]) == record["pid"]:
                os.killpg(record["pid"], number)
                pids = {pid for pid in pids if _group_of(pid) != record["pid"]}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _group_of(pid: int) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _is_gone(record: dict[str, Any], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while _lives(record) or processes_of(str(record.get("nonce", ""))):
        if time.monotonic() >= until:
            return False
        time.sleep(LOOK_SECONDS)
    return True
