"""Run a training command and say what memory each of its phases took and how long its steps were. Linux only.

    python benchmarks/measured_run.py sdxl_train_network --pretrained_model_name_or_path=…

The last line it prints is a JSON object: `code`; `phases`, by name the most and the last bytes of memory, in their
order, and of a GPU, if there is one, the most that torch had given out and the most that it had taken; `wall` and
`cpu`, seconds of each step, the first one left out. Memory is what belongs to the process alone: pages of a mapped
file, which the system takes back when it needs them, do not count.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "trainer"))

import torch
from tanren.entry import Session
from tanren.errors import UserError

OWN = ("RssAnon:", "RssShmem:")
BETWEEN_LOOKS = 0.005


def own_memory() -> int:
    """Bytes of this process that are not pages of files."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(OWN)) * 1024


@dataclass
class Watch:
    """Looks at the memory many times a second and listens to what the run tells."""

    phases: dict[str, dict[str, int]] = field(default_factory=dict)
    steps: list[tuple[float, float]] = field(default_factory=list)
    phase: str = "start"
    _ended: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Note the memory under the present phase."""
        now = own_memory()
        known = self.phases.setdefault(self.phase, {"peak": 0, "last": 0})
        known["peak"], known["last"] = max(known["peak"], now), now

    def listen(self, event: dict[str, Any]) -> None:
        """A sink of the run's events."""
        self.look()
        if event["kind"] == "phase":
            self.enter(event["name"])
        elif event["kind"] == "step":
            self.enter("train")
            self.steps.append((time.perf_counter(), time.process_time()))
        elif event["kind"] == "epoch":
            # Saving copies the network's weights, which is not what a step takes.
            self.enter("save")
        self.look()

    def enter(self, phase: str) -> None:
        """Note what the GPU gave in the phase before, and begin another one."""
        if phase == self.phase:
            return
        if torch.cuda.is_available():
            known = self.phases.setdefault(self.phase, {"peak": 0, "last": 0})
            known["gpu"] = max(known.get("gpu", 0), torch.cuda.max_memory_allocated())
            known["gpu_taken"] = max(known.get("gpu_taken", 0), torch.cuda.max_memory_reserved())
            torch.cuda.reset_peak_memory_stats()
        self.phase = phase

    def __enter__(self) -> Watch:
        threading.Thread(target=self._keep_looking, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _keep_looking(self) -> None:
        while not self._ended.wait(BETWEEN_LOOKS):
            self.look()

    def told(self) -> dict[str, Any]:
        """What was seen."""
        self.enter("end")
        pairs = list(zip(self.steps, self.steps[1:], strict=False))
        wall, cpu = ([round(after[kind] - before[kind], 3) for before, after in pairs] for kind in (0, 1))
        return {"phases": self.phases, "wall": wall, "cpu": cpu}


def main() -> int:
    """Run the command of the command line."""
    session, watch, code = Session(sys.argv[1]), Watch(), 0
    session.report.add_sink(watch.listen)
    with watch:
        try:
            session.run(sys.argv[2:])
        except UserError as problem:
            print(problem, file=sys.stderr)
            code = problem.code
    session.close(code, "", None)
    print(json.dumps({"code": code, **watch.told()}))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
