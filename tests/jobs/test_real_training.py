"""Real trainings of the embedded model, started by the queue: stopped, killed, watched by dying UIs, and finished."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from jobs.light_trainer import Ui, dispatching, reaches, trains, until
from recipes.training import data_folder
from tanren.jobs.ending import processes_of
from tanren.jobs.folder import has_checkpoint, read_object, read_runner
from tanren.jobs.view import detail, log_text, sample_path, summary
from tanren.models.micro import micro_sd_path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")
PATIENCE = 600.0
# Seconds; half of one on a quiet machine.
LATEST_TAKE_OVER = 20.0
TIMES = [2, pytest.param(20, marks=pytest.mark.proof)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return data_folder(tmp_path_factory.mktemp("絵") / "pictures")


@pytest.fixture
def train(shelf, pictures, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("sks waves --w 64 --h 64 --s 2 --d 1\n")

    def train(**options):
        usual = {
            "pretrained_model_name_or_path": str(micro_sd_path()),
            "train_data_dir": str(pictures),
            "resolution": "64,64",
            "caption_extension": ".txt",
            "network_module": "networks.lora",
            "learning_rate": 1e-3,
            "train_batch_size": 2,
            "seed": 42,
            "output_name": "waves",
            "sample_prompts": str(prompts),
            "max_data_loader_n_workers": 1,
        }
        return shelf.submit("train_network", {**usual, **options}, name="sks 波", request_id="click")

    return train


def steps(job):
    return read_object(job.folder / "progress.json").get("step") or 0


def python():
    return Path(sys.executable)


def nothing_left(job, nonces):
    """The trainer is gone, and soon after it what it had started."""
    until(lambda: not job.look().is_active, PATIENCE)
    until(lambda: not any(processes_of(nonce) for nonce in nonces), PATIENCE)


def test_a_first_training_from_the_queue(shelf, train):
    job = train(max_train_epochs=2, sample_every_n_epochs=1, save_every_n_epochs=1)

    with dispatching(shelf, python):
        trains(job, seconds=PATIENCE)
        reaches(job, "completed", seconds=PATIENCE)
        nothing_left(job, [read_runner(job.folder).nonce])

    told = detail(job)
    assert told["points"]["step"] == list(range(1, 13))
    assert (told["total_steps"], told["total_epochs"], told["epoch"]) == (12, 2, 2)
    assert [file["name"] for file in told["files"]] == ["waves-000001.safetensors", "waves.safetensors"]
    assert all(file["exists"] for file in told["files"])
    assert [(sample["step"], sample["epoch"]) for sample in told["samples"]] == [(6, 1), (12, 2)]
    assert sample_path(job, told["sample"]).read_bytes().startswith(b"\x89PNG")
    assert told["problem"] is None
    assert "saved" in log_text(job)["text"]


def test_a_training_that_cannot_begin_says_why(shelf, train, tmp_path):
    job = train(train_data_dir=str(tmp_path / "nothing here"))

    with dispatching(shelf, python):
        reaches(job, "failed", seconds=PATIENCE)

    assert job.look().code == 2
    assert "nothing here" in detail(job)["problem"]["what"]
    assert "nothing here" in log_text(job)["text"]


@pytest.mark.rule("flt-07")
@pytest.mark.parametrize("times", TIMES)
def test_uis_that_are_killed_again_and_again_leave_a_training_alone(shelf, train, times):
    job = train(max_train_steps=100_000)
    with Ui(shelf, python()):
        trains(job, seconds=PATIENCE)
    runner, slowest = read_runner(job.folder), 0.0

    for _ in range(times):
        before = steps(job)
        with Ui(shelf, python()) as ui:
            ui.wait_for("started")
            began = time.monotonic()
            ui.wait_for("at work")
            slowest = max(slowest, time.monotonic() - began)
            until(lambda before=before: steps(job) > before, PATIENCE)
            assert job.state == "running"
            ui.kill()
        assert read_runner(job.folder) == runner
    print(f"{times} UIs were killed; the slowest take-over took {slowest:.2f} s")
    assert slowest < LATEST_TAKE_OVER

    with dispatching(shelf, python):
        job.ask_stop()
        reaches(job, "stopped", seconds=PATIENCE)
        nothing_left(job, [runner.nonce])


@pytest.mark.rule("flt-07")
@pytest.mark.parametrize("times", TIMES)
def test_a_training_that_is_stopped_again_and_again_leaves_nothing_running_and_ends_whole(shelf, train, times):
    """Each stop comes after a few steps more; one of the ends is a `kill -9`."""
    job, nonces = train(max_train_steps=30 * times), []
    with dispatching(shelf, python):
        for number in range(times):
            trains(job, steps(job) + 1, seconds=PATIENCE)
            enough = steps(job) + number % 3
            until(lambda enough=enough: steps(job) > enough, PATIENCE)
            nonces.append(read_runner(job.folder).nonce)
            job.ask_stop()
            reaches(job, "stopped", seconds=PATIENCE)
            nothing_left(job, nonces)
            assert job.look().is_resumable
            job.resume()
        trains(job, steps(job) + 1, seconds=PATIENCE)
        assert has_checkpoint(job.folder)
        runner = read_runner(job.folder)
        os.kill(runner.pid, signal.SIGKILL)
        reaches(job, "interrupted", seconds=PATIENCE)
        nothing_left(job, [*nonces, runner.nonce])
        assert job.look().is_resumable
        job.resume()
        reaches(job, "completed", seconds=3 * PATIENCE)
        nothing_left(job, [read_runner(job.folder).nonce])

    assert summary(job)["attempt"] == times + 2
    assert detail(job)["points"]["step"] == list(range(1, 30 * times + 1))
    assert (shelf.default_output(job.id) / "waves.safetensors").is_file()
