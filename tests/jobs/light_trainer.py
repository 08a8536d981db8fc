"""A trainer that keeps the whole protocol of a job and learns nothing, so that it starts in a moment.

It stands in for the interpreter of the trainer's environment: what a dispatcher starts is this program. How it behaves
is said by `training_comment`: "deaf" hears no request and no TERM, "worker" starts a process of its own that hears
nothing either, "busy" finds its output taken, "broken" fails, "hang" stays after its result,
"stateless" saves no states on the way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from tanren.jobs.dispatcher import Dispatcher
from tanren.jobs.ending import processes_of
from tanren.jobs.folder import read_runner

TRAINER = Path(__file__).parents[2] / "trainer"
# Conditions are strict; a machine that is busy with other tests may take its time.
PATIENCE = 180.0
PROGRAM = """#!{python}
import json, signal, subprocess, sys, time
sys.path.insert(0, {trainer!r})
from pathlib import Path
from tanren.errors import BusyError, DataError, UserError
from tanren.events import Report
from tanren.files import append_line
from tanren.folders import durable_folder, read_manifest
from tanren.jobs.folder import read_spec
from tanren.jobs.job import lock_device, open_job
from tanren.stop_signals import StopOnSignal

folder = Path(sys.argv[-1].partition("=")[2])
spec = read_spec(folder)
manner = spec.options.get("training_comment", "")
job = open_job(folder, spec)
print("attempt", job.runner.attempt, flush=True)
signals = StopOnSignal()
report = Report([job.sink], signals.asked)

def end(code, problem=None):
    job.finish(code, reason="the light trainer ended", problem=problem)
    sys.exit(code)

def state(step):
    (folder / "checkpoints").mkdir(exist_ok=True)
    path = folder / "checkpoints" / f"step-{{step:08d}}"
    durable_folder(path, lambda part: (part / "w").write_bytes(b"w" * 10), {{"step": step}})

try:
    device = lock_device()
    if "busy" in manner and job.runner.attempt < 3:
        raise BusyError(what="The output is taken.", where="out")
    if "broken" in manner:
        raise DataError(what="There are no pictures.", where="--train_data_dir", fix="Add some.")
except UserError as problem:
    end(problem.code, problem)
if "deaf" in manner:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signals.listen(job.asked)
    signals.__enter__()
if "worker" in manner:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    worker = subprocess.Popen([sys.executable, "-c", code], start_new_session="apart" in manner)
states = sorted((folder / "checkpoints").glob("step-*")) if (folder / "checkpoints").is_dir() else []
first = read_manifest(states[-1]).facts["step"] if states else 0
total = spec.options.get("max_train_steps", 100000)
report.tell("phase", name="train", done=first, total=total, epochs=2)
out = Path(spec.options["output_dir"])
out.mkdir(parents=True, exist_ok=True)
for step in range(first + 1, total + 1):
    numbers = dict(loss=1 / step, average=1 / step, lr={{"unet": 1e-4}}, seconds=0.01, memory=7)
    report.tell("step", step=step, epoch=1, **numbers)
    asked = report.asked()
    if "save" in asked:
        (out / f"light-{{step}}.safetensors").write_bytes(b"weights")
        report.tell("saved", file=str(out / f"light-{{step}}.safetensors"), step=step, epoch=1)
    if "stop" in asked:
        state(step)
        end(20)
    if step % 20 == 0 and "stateless" not in manner:
        state(step)
    time.sleep(0.01)
(out / "light.safetensors").write_bytes(b"weights")
report.tell("saved", file=str(out / "light.safetensors"), step=total, epoch=2)
if "hang" in manner:
    job.finish(0)
    time.sleep(600)
end(0)
"""


UI = """
import sys, time
from pathlib import Path
from tanren.jobs.dispatcher import Dispatcher
from tanren.jobs.shelf import Shelf
print("started", flush=True)
dispatcher = Dispatcher(Shelf(Path(sys.argv[1])), lambda: Path(sys.argv[2]), devices=["cpu"])
dispatcher.start()
while True:
    print("at work" if dispatcher.is_at_work else "waiting", flush=True)
    time.sleep(0.05)
"""


class Ui:
    """Another process that starts jobs, to be killed."""

    def __init__(self, shelf, program):
        words = [sys.executable, "-c", UI, str(shelf.data_dir), str(program)]
        environment = {**os.environ, "PYTHONPATH": str(TRAINER)}
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)

    def __enter__(self):
        return self

    def wait_for(self, word):
        while self.process.stdout.readline().strip() != word:
            assert self.process.poll() is None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def light_trainer(folder: Path) -> Path:
    """Write the program and return its path, for `Dispatcher(python=…)`."""
    program = folder / "light-trainer"
    program.write_text(PROGRAM.format(python=sys.executable, trainer=str(TRAINER)), "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


@contextlib.contextmanager
def dispatching(shelf, program, *hooks, **options):
    """A dispatcher at work; leaves no process behind."""
    dispatcher = Dispatcher(
        shelf, program if callable(program) else lambda: program, *hooks, **{"devices": ["cpu"], **options}
    )
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        dispatcher.stop()
        clear(shelf)


def clear(shelf):
    """Kill what tests have left running."""
    for job in shelf.all():
        runner = read_runner(job.folder)
        for pid in processes_of(runner.nonce) if runner else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def until(happened, seconds=PATIENCE):
    """Look often until something happened; fails when it does not."""
    end = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found


def reaches(job, *states, seconds=PATIENCE):
    """Wait until a job stands like that; one that has failed for good never will."""

    def has_come():
        look = job.look()
        failed = look.state == "failed" and look.code != 9 and "failed" not in states
        assert not failed, (look, (job.folder / "log.txt").read_text("utf-8"))
        return look.state in states

    until(has_come, seconds)


def trains(job, steps=1, seconds=PATIENCE):
    """Wait until a job has made so many steps."""
    from tanren.jobs.folder import read_object

    until(
        lambda: job.state == "running" and (read_object(job.folder / "progress.json").get("step") or 0) >= steps,
        seconds,
    )
