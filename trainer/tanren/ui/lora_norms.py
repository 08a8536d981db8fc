"""How strongly a LoRA changes each block, computed in the trainer's environment: started, watched, ended.

The weights are read by a process of its own, because the page's Python has no torch. What was computed is kept until
the file changes or the program ends.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..child_process import child_environment
from ..errors import BusyError, EnvironmentProblem
from ..library.look import Stamp, stamp_of
from ..paths import package_folder

MODULE = "tanren.networks.update_norms"
AT_ONCE, MOST_KEPT = 2, 50
STEP = re.compile(rb"(\d+)/(\d+)")


@dataclass
class NormsRun:
    """One computation.

    Args:
        stamp: of the file when it was begun.
        process: at work; None once it has ended.
        done, total: layers.
        blocks: the outcome; None until it is there.
        problem: why there is none; empty while all is well.
    """

    stamp: Stamp
    process: subprocess.Popen[bytes] | None = None
    done: int = 0
    total: int = 0
    blocks: list[dict[str, Any]] | None = None
    problem: str = ""
    is_cancelled: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        return {
            "state": "running" if self.process is not None else "done" if self.blocks is not None else "ended",
            "done": self.done,
            "total": self.total,
            "blocks": self.blocks,
            "problem": self.problem,
        }


@dataclass
class Norms:
    """All computations of this program."""

    _runs: dict[Path, NormsRun] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, path: Path) -> NormsRun | None:
        """The computation of a file as it is now; None when there is none, or the file is another one since."""
        with self._lock:
            run = self._runs.get(path)
            return run if run is not None and run.stamp == stamp_of(path) else None

    def start(self, path: Path, python: Path) -> NormsRun:
        """Begin to compute; what runs or is known already is not begun again.

        Args:
            path: a .safetensors file.
            python: of the trainer's environment.

        Raises:
            BusyError: as many as may run at once do so.
            EnvironmentProblem: the interpreter cannot be started.
        """
        known = self.look(path)
        if known is not None and (known.process is not None or known.blocks is not None):
            return known
        with self._lock:
            if sum(run.process is not None for run in self._runs.values()) >= AT_ONCE:
                raise BusyError(
                    where=path.name,
                    what="The norms of other files are being computed.",
                    fix="Try again when they are done.",
                )
            run = self._begin(path, python)
            while len(self._runs) > MOST_KEPT:
                del self._runs[next(iter(self._runs))]
            return run

    def cancel(self, path: Path) -> None:
        """End the computation of a file, if it runs."""
        run = self._runs.get(path)
        process = run.process if run is not None else None
        if run is None or process is None:
            return
        run.is_cancelled = True
        process.kill()

    def _begin(self, path: Path, python: Path) -> NormsRun:
        command = [str(python), "-m", MODULE, "--json", "--progress", "--", str(path)]
        variables = child_environment(PYTHONPATH=str(package_folder().parent), CUDA_VISIBLE_DEVICES="")
        outcome = tempfile.TemporaryFile()  # noqa: SIM115  the thread that reads it closes it
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": outcome, "stderr": subprocess.PIPE}
        try:
            process = subprocess.Popen(command, env=variables, **pipes)
        except OSError as error:
            outcome.close()
            what = "The trainer's Python could not be started."
            raise EnvironmentProblem(where=str(python), what=what, why=str(error)) from error
        run = NormsRun(stamp_of(path), process)
        self._runs.pop(path, None)
        self._runs[path] = run
        threading.Thread(target=_watch, args=(run, process, outcome), daemon=True).start()
        return run


def _watch(run: NormsRun, process: subprocess.Popen[bytes], outcome: BinaryIO) -> None:
    """Follow a computation to its end."""
    last = b""
    with outcome:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                step = STEP.fullmatch(line.strip())
                if step is None:
                    last = line.strip() or last
                else:
                    run.done, run.total = int(step[1]), int(step[2])
        code = process.wait()
        outcome.seek(0)
        blocks = _blocks(outcome.read()) if code == 0 else None
    if blocks is None and not run.is_cancelled:
        run.problem = last.decode("utf-8", "replace") or f"The process ended with {code}."
    run.blocks = blocks
    run.process = None


def _blocks(text: bytes) -> list[dict[str, Any]] | None:
    try:
        (only,) = json.loads(text)
        blocks = only["blocks"]
    except (ValueError, TypeError, KeyError):
        return None
    # A norm that is not a number cannot be told in JSON.
    return [{name: _finite(value) for name, value in block.items()} for block in blocks]


def _finite(value: Any) -> Any:
    is_odd = isinstance(value, float) and (value != value or value in (float("inf"), float("-inf")))
    return None if is_odd else value
