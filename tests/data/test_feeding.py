import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_datasets import dataset, noise_picture, plan, subset
from tanren.data.dataset import EpochItems
from tanren.data.feeding import Workers, in_thread
from tanren.errors import DataError, OutOfMemory


class Hang:
    def __call__(self, batch, number):
        time.sleep(60)


class Die:
    def __call__(self, batch, number):
        os.kill(os.getpid(), signal.SIGKILL)


class Fault:
    def __call__(self, batch, number):
        raise ZeroDivisionError("a fault of ours")


class Process:
    def __call__(self, batch, number):
        return os.getpid()


def data_of(tmp_path):
    for name in ("a.png", "b.png"):
        noise_picture(tmp_path / name, text="x")
    return dataset(plan(subset(tmp_path)))


def items(data, prepare):
    return EpochItems(data.epoch_batches(0), 0, 0, 0, 1, 1, prepare)


@pytest.mark.rule("flt-13")
@pytest.mark.parametrize("way", ["thread", "processes"])
def test_a_batch_that_does_not_come_is_an_error_that_names_its_picture(tmp_path, way):
    data = data_of(tmp_path)
    work = items(data, Hang())
    first = data.scan.datasets[0].images[work[0].plan.samples[0][0]].path
    workers = Workers(data.samples, 1, patience=0.5) if way == "processes" else None

    started = time.monotonic()
    with pytest.raises(DataError, match=r"not ready after 0 seconds|not ready after 1 seconds") as late:
        list(workers.feed(work) if workers else in_thread(data.samples, work, patience=0.5))
    if workers:
        workers.close()

    assert late.value.where == first
    assert time.monotonic() - started < 90


@pytest.mark.rule("flt-13")
def test_a_killed_worker_is_an_error_of_memory_that_names_the_picture(tmp_path):
    data = data_of(tmp_path)
    workers = Workers(data.samples, 1)

    with pytest.raises(OutOfMemory) as died:
        list(workers.feed(items(data, Die())))
    workers.close()

    assert died.value.code == 6
    assert died.value.where.endswith(".png")


def test_a_fault_of_ours_keeps_its_kind(tmp_path):
    data = data_of(tmp_path)
    workers = Workers(data.samples, 1)

    with pytest.raises(ZeroDivisionError):
        list(workers.feed(items(data, Fault())))
    workers.close()
    with pytest.raises(ZeroDivisionError):
        list(in_thread(data.samples, items(data, Fault())))


def test_closing_early_leaves_no_process(tmp_path):
    data = data_of(tmp_path)
    workers = Workers(data.samples, 2)
    feed = workers.feed(items(data, Process()))
    pid = next(feed).result
    feed.close()
    workers.close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


PARENT = """
import os, sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_feeding import Process, data_of, items
from tanren.data.feeding import Workers

data = data_of(Path(sys.argv[1]))
feed = Workers(data.samples, 1).feed(items(data, Process()))
print(next(feed).result, flush=True)
time.sleep(60)
"""


def test_workers_end_when_the_trainer_is_killed(tmp_path):
    here = Path(__file__).resolve().parent
    paths = [str(here), str(here.parent), str(here.parents[1] / "trainer")]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), *paths], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()

    until = time.monotonic() + 120
    while time.monotonic() < until and Path(f"/proc/{worker}").exists():
        if "Z" in Path(f"/proc/{worker}/stat").read_text().split(")")[1][:3]:
            break
        time.sleep(0.2)
    else:
        assert not Path(f"/proc/{worker}").exists()
