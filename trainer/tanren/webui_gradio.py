"""Environments with the gradio of the WebUIs, for the tests of the tab: AUTOMATIC1111 has 3.41, Forge 4.40.

They lie in the trainer's environment, are made from fixed lists of versions (`tests/gradio_lines`), and kept: the next
start finds them. Their interpreters are named to the tests by variables. One that cannot be made is named all the same,
so that its tests fail and say why, instead of being left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .child_process import child_environment
from .files import write_json
from .interpreters import candidates, probe_version

# The packages of those lines are not built for newer Pythons; the WebUIs run on 3.10.
VERSIONS = ((3, 10), (3, 11))
READY = "tanren-ready.json"


@dataclass(frozen=True)
class Line:
    """One gradio.

    Args:
        variable: that names its interpreter to the tests.
        requirements: every package with its version.
    """

    variable: str
    requirements: Path

    @property
    def name(self) -> str:
        """Such as "gradio-3.41.2"."""
        return self.requirements.stem


def lines_of(root: Path) -> list[Line]:
    """The lines whose lists lie in a checkout."""
    folder = root / "tests" / "gradio_lines"
    return [Line(f"TANREN_GRADIO{path.stem[7]}_PYTHON", path) for path in sorted(folder.glob("gradio-*.txt"))]


class WebUIGradio:
    """Makes what is missing beside other work.

    Args:
        root: the checkout.
        folder: to keep them in.
        say: shows a line.
    """

    def __init__(self, root: Path, folder: Path, say: Callable[[str], None] = print) -> None:
        self._say, self._folder = say, folder
        wanted = [line for line in lines_of(root) if not os.environ.get(line.variable)]
        self._pool = ThreadPoolExecutor(max(len(wanted), 1))
        self._made: dict[str, Future[str]] = {line.variable: self._pool.submit(self._ready, line) for line in wanted}

    def variables(self) -> dict[str, str]:
        """Variables for the tests; waits until all are made. What is not a path says why there is none."""
        found = {name: made.result() for name, made in self._made.items()}
        self._pool.shutdown()
        return found

    def _ready(self, line: Line) -> str:
        environment = self._folder / line.name
        python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        digest = hashlib.sha256(line.requirements.read_bytes()).hexdigest()
        if _said(environment) == {"requirements": digest} and python.is_file():
            return str(python)
        shutil.rmtree(environment, ignore_errors=True)
        problem = self._make(line, environment, python)
        if problem:
            return problem
        write_json(environment / READY, {"requirements": digest})
        return str(python)

    def _make(self, line: Line, environment: Path, python: Path) -> str:
        """Make one; returns what went wrong, or nothing."""
        base = next((path for path in candidates(VERSIONS) if probe_version(path) in VERSIONS), None)
        if base is None:
            return f"{line.name} needs Python 3.10 or 3.11, and none was found"
        self._say(f"Making an environment with {line.name} for the tests of the tab …")
        install = [
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--no-input",
            "-r",
            str(line.requirements),
        ]
        for command in ([str(base), "-m", "venv", str(environment)], [str(python), *install]):
            done = subprocess.run(
                command, env=child_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                return f"{line.name} could not be installed: {(done.stderr or done.stdout).strip()[-600:]}"
        return ""


def _said(environment: Path) -> object:
    try:
        return json.loads((environment / READY).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def main() -> int:
    """Make both and print the variables, for a shell that runs single tests."""
    root = Path(__file__).resolve().parents[2]
    for name, value in WebUIGradio(root, Path(sys.prefix)).variables().items():
        print(f"{name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
