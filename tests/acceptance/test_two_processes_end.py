"""A job of two real processes of which one ends early: what the job tells, and that both end."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import pytest
from recipes.training import arguments, base_model, data_folder
from several import run_several
from tanren.engine import together
from tanren.entry import main
from tanren.errors import OutOfMemory, UsageError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
ENDLESS = {"max_train_epochs": None, "max_train_steps": 1_000_000, "max_data_loader_n_workers": 0}
STOPPED = 20


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    model, data = base_model(folder), data_folder(folder / "data")

    def words(out, **options):
        own = {"job_dir": out / "job", "data_dir": out / "data"}
        return arguments(model, data, out / "out", **{**ENDLESS, **own, **options})

    return words


def result_of(folder):
    return json.loads((folder / "job/result.json").read_text("utf-8"))


def when_it_trains(folder, act):
    """Act in this process as soon as the job has made a step."""
    events = folder / "job/events.jsonl"

    def look():
        if events.exists() and '"kind": "step"' in events.read_text("utf-8"):
            act()
        else:
            threading.Timer(0.2, look).start()

    look()


@pytest.mark.rule("flt-07")
def test_a_process_that_is_killed_ends_the_job_with_its_name(command, tmp_path):
    def work(index):
        if index:
            when_it_trains(tmp_path, lambda: os._exit(9))
        return main("train_network", command(tmp_path))

    code, _ = run_several(work)

    result = result_of(tmp_path)
    assert code == result["code"] == OutOfMemory.code
    assert (result["state"], result["problem"]["where"]) == ("failed", "process 2 of 2 (rank 1)")


def test_a_signal_to_any_process_stops_both_and_saves(command, tmp_path):
    def work(index):
        if index:
            when_it_trains(tmp_path, lambda: os.kill(os.getpid(), signal.SIGTERM))
        return main("train_network", command(tmp_path))

    assert run_several(work) == [STOPPED, STOPPED]

    result = result_of(tmp_path)
    assert (result["state"], result["code"]) == ("stopped", STOPPED)
    assert len(list((tmp_path / "job/checkpoints").glob("step-*"))) == 1


def test_what_only_another_process_lacks_is_the_problem_of_the_job(command, tmp_path, monkeypatch):
    monkeypatch.setattr(together, "GRACE_SECONDS", 1.0)

    def work(index):
        lacking = {"network_weights": tmp_path / "only here.safetensors"} if index else {}
        return main("train_network", command(tmp_path, **lacking))

    assert run_several(work) == [UsageError.code, UsageError.code]

    told = result_of(tmp_path)["problem"]
    assert told["where"].startswith("process 2 of 2 (rank 1), --network_weights")
