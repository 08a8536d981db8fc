"""Starting a trainer so that nothing of the UI can pull it down: its own session, no console, its log by path.

`runner.json` is written before the start, with the attempt and its nonce, and again after it, with the process; a crash
of the UI between any two steps leaves files from which the job's state follows.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..child_process import child_environment
from ..disk import storage_error
from ..errors import EnvironmentProblem, UserError
from ..files import write_json
from ..paths import package_folder, repository_folder
from .folder import DEVICE_LOCK_VARIABLE, LOG, NONCE_VARIABLE, RUNNER, Runner, read_runner
from .process import Identity, identity_of

NICE, MOST_NICE = 5, 19
# A UI that was itself started by `accelerate launch` (webui.sh can do that) is one process of one; its trainers are not
# processes of that group.
OF_A_PROCESS_GROUP = (
    "MASTER_",
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "LOCAL_WORLD",
    "NODE_RANK",
    "GROUP_",
    "ACCELERATE_",
    "TORCHELASTIC_",
)
# Of the Windows API: CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, BELOW_NORMAL_PRIORITY_CLASS; and out of a job object
# that would end the trainer with the host, where the host allows that.
WINDOWS_FLAGS = 0x00000200 | 0x08000000 | 0x00004000
BREAK_AWAY = 0x01000000


def start_attempt(
    folder: Path,
    attempt: int,
    command: str,
    *,
    python: Path,
    device: str,
    variables: Mapping[str, str],
    device_lock: Path,
    data_dir: Path,
    cwd: str,
) -> subprocess.Popen[bytes]:
    """Start the trainer of a job.

    Args:
        folder: of the job.
        attempt: the wanted one.
        command: such as "train_network".
        python: interpreter of the trainer's environment.
        device: what it computes on, and `variables` that tell it so.
        device_lock: the lock it holds for its life.
        data_dir: where the program keeps its files.
        cwd: where relative paths start from; the job's folder when it is gone.

    Returns:
        The process; whoever keeps it must `poll` it, so that it leaves no zombie.

    Raises:
        EnvironmentProblem: the interpreter cannot be started.
        StorageError: the job's folder cannot be written.
    """
    before = read_runner(folder)
    runner = Runner(attempt, secrets.token_hex(16), device=device)
    write_json(folder / RUNNER, asdict(runner))
    environment = {
        **trainer_environment(os.environ),
        **variables,
        NONCE_VARIABLE: runner.nonce,
        DEVICE_LOCK_VARIABLE: str(device_lock),
        "TANREN_DATA": str(data_dir),
    }
    place = cwd if cwd and Path(cwd).is_dir() else str(folder)
    try:
        process = _start(trainer_words(python, command, folder), environment, place, folder / LOG)
    except UserError:
        _take_back(folder, before)
        raise
    _be_nice(process.pid)
    # One that has ended already has no identity any more. Its number alone is noted then, which is nobody's, so that
    # the job is seen as ended, and not as one that is still to come.
    identity = identity_of(process.pid) or Identity(process.pid, started="", boot="")
    write_json(folder / RUNNER, asdict(replace(runner, **asdict(identity))))
    return process


def trainer_words(python: Path, command: str, folder: Path) -> list[str]:
    """The command line of a job's trainer: what it trains stands in the folder, never here."""
    script = package_folder().parent / f"{command}.py"
    if repository_folder() is not None and script.is_file():
        return [str(python), str(script), f"--job_dir={folder}"]
    # Isolated: modules of the folder it is started in must not stand in for those of the package.
    return [str(python), "-I", "-X", "utf8", "-m", "tanren", command, f"--job_dir={folder}"]


def trainer_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The variables a trainer gets: those every child gets, without what makes it one of several processes."""
    return {
        name: value
        for name, value in child_environment(given).items()
        if not name.upper().startswith(OF_A_PROCESS_GROUP)
    }


def _take_back(folder: Path, before: Runner | None) -> None:
    """No process was started: the attempt is as if it had never been begun."""
    if before is None:
        (folder / RUNNER).unlink(missing_ok=True)
    else:
        write_json(folder / RUNNER, asdict(before))


def _start(words: list[str], environment: Mapping[str, str], cwd: str, log: Path) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = {"cwd": cwd, "env": dict(environment), "stdin": subprocess.DEVNULL}
    try:
        # Never a pipe: it would break at the next line that the trainer prints after the UI is gone.
        with log.open("ab") as output:
            options |= {"stdout": output, "stderr": subprocess.STDOUT}
            return _detached(words, options)
    except OSError as error:
        if error.filename == str(log):
            raise storage_error(log, error) from error
        raise EnvironmentProblem(
            where=words[0],
            what="The trainer could not be started.",
            why=str(error),
            fix="Repair its environment: `python launch.py setup --repair`.",
        ) from error


def _detached(words: list[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    if sys.platform != "win32":
        return subprocess.Popen(words, start_new_session=True, **options)
    try:
        return subprocess.Popen(words, creationflags=WINDOWS_FLAGS | BREAK_AWAY, **options)
    except PermissionError:
        return subprocess.Popen(words, creationflags=WINDOWS_FLAGS, **options)


def _be_nice(pid: int) -> None:
    """Let the WebUI and the desktop go first; the threads the trainer is going to start inherit it."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, min(os.getpriority(os.PRIO_PROCESS, 0) + NICE, MOST_NICE))
