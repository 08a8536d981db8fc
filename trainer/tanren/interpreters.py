"""Finding a Python that the trainer's environment can be made with.

The one that asks comes first. A WebUI may run on a Python that the packages do not know, or on one that was packed
without `venv` (the "embeddable" Python of one-click packages); then others on this machine are tried.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from .child_process import child_environment
from .environment_setup import NEWEST, OLDEST
from .errors import EnvironmentProblem

# The one that the tests run on comes first.
PREFERRED = ((3, 11), (3, 12), (3, 13), (3, 10))
PROBE = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
SECONDS_TO_ANSWER = 10


def find_interpreter() -> Path:
    """An interpreter from 3.10 to 3.13 that can make environments.

    Raises:
        EnvironmentProblem: there is none.
    """
    if is_fitting_here():
        return base_interpreter()
    found = next(filter(is_fitting, candidates()), None)
    if found is None:
        raise EnvironmentProblem(
            what="No Python was found that the trainer's environment can be made with.",
            why="Python 3.10 to 3.13 with its venv module is needed.",
            fix="Install Python 3.11 from python.org (Debian, Ubuntu: sudo apt install python3-venv), then try again.",
        )
    return found


def base_interpreter() -> Path:
    """The interpreter of this process, not the copy or link of it in an environment."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable))


def is_fitting_here() -> bool:
    """True when this very Python can make the environment."""
    has_parts = all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))
    return OLDEST <= sys.version_info[:2] <= NEWEST and has_parts


def is_fitting(python: Path) -> bool:
    """True when another Python can make the environment."""
    return OLDEST <= probe_version(python) <= NEWEST


def probe_version(python: Path) -> tuple[int, int]:
    """Version of a Python that can make environments; (0, 0) when it cannot, or is a shim for nothing."""
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", PROBE],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_TO_ANSWER,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    numbers = [int(part) for part in done.stdout.split() if part.isdigit()]
    return (numbers[0], numbers[1]) if done.returncode == 0 and len(numbers) == 2 else (0, 0)


def candidates(versions: Iterable[tuple[int, int]] = PREFERRED) -> Iterator[Path]:
    """Interpreters that may be there, those of the versions named first coming first."""
    for version in versions:
        name = ".".join(map(str, version))
        on_path = shutil.which(f"python{name}")
        if on_path:
            yield Path(on_path)
        yield from (path for path in _usual_places(name) if path.is_file())
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found:
            yield Path(found)


def _usual_places(version: str) -> Iterable[Path]:
    """Where installers put a version of Python."""
    if sys.platform == "win32":
        digits = version.replace(".", "")
        folders = (
            Path(os.environ.get("LOCALAPPDATA", ""), "Programs", "Python"),
            Path(os.environ.get("PROGRAMFILES", r"C:\Program Files")),
        )
        return [folder / f"Python{digits}" / "python.exe" for folder in folders]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    fixed = [Path(folder, f"python{version}") for folder in ("/opt/homebrew/bin", "/usr/local/bin")]
    return [*sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True), *fixed]
