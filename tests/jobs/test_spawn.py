import os
import sys
from pathlib import Path

import pytest
from jobs.light_trainer import TRAINER, dispatching, trains
from tanren.jobs.folder import read_runner
from tanren.jobs.process import identity_of
from tanren.jobs.spawn import trainer_environment, trainer_words


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
def test_a_trainer_is_on_its_own(shelf, program, submit, monkeypatch, tmp_path):
    """Own session, no input, its log by path, a chosen environment, after everybody else on the processor."""
    monkeypatch.setenv("PYTHONPATH", "/of/the/host")
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.chdir(tmp_path)
    job = submit()

    with dispatching(shelf, program):
        trains(job)
        runner = read_runner(job.folder)
        process = Path("/proc", str(runner.pid))
        environment = dict(part.split("=", 1) for part in (process / "environ").read_text().split("\0") if part)
        words = (process / "cmdline").read_text().split("\0")
        links = {number: str((process / "fd" / number).readlink()) for number in "012"}
        assert os.getsid(runner.pid) == os.getpgid(runner.pid) == runner.pid
        assert os.getpriority(os.PRIO_PROCESS, runner.pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)
        assert (process / "cwd").readlink() == tmp_path
        assert identity_of(runner.pid).started == runner.started

    assert words[-3:] == [str(TRAINER / "train_network.py"), f"--job_dir={job.folder}", ""]
    assert {"PYTHONPATH", "SOMETHING_ELSE", "WORLD_SIZE"}.isdisjoint(environment)
    assert environment["PYTHONUTF8"] == "1"
    assert environment["TANREN_JOB_NONCE"] == runner.nonce
    assert environment["TANREN_DATA"] == str(shelf.data_dir)
    log = str(job.folder / "log.txt")
    assert links == {"0": "/dev/null", "1": log, "2": log}
    assert (runner.attempt, runner.device) == (1, "cpu")


def test_relative_paths_start_in_the_jobs_folder_when_the_old_one_is_gone(
    shelf, program, submit, monkeypatch, tmp_path
):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    job = submit()
    monkeypatch.chdir(tmp_path)
    gone.rmdir()

    with dispatching(shelf, program):
        trains(job)
        assert Path("/proc", str(read_runner(job.folder).pid), "cwd").readlink() == job.folder


def test_a_name_that_looks_like_an_option_is_data(shelf):
    job = shelf.submit("train_network", {"output_name": "--help"}, name="--help; rm -rf", request_id="")

    words = trainer_words(Path(sys.executable), "train_network", job.folder)

    assert words == [sys.executable, str(TRAINER / "train_network.py"), f"--job_dir={job.folder}"]


def test_a_ui_that_accelerate_started_makes_no_trainers_of_its_group():
    given = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "x",
        "ACCELERATE_MIXED_PRECISION": "fp16",
        "TORCHELASTIC_X": "1",
    }
    kept = {"PATH": "/bin", "HF_HOME": "/models", "LOCALAPPDATA": "C:/x", "CUDA_VISIBLE_DEVICES": "1"}

    environment = trainer_environment({**given, **kept, "PYTHONHOME": "/x", "VIRTUAL_ENV": "/y"})

    assert environment == {**kept, "PYTHONUTF8": "1", "PIP_USER": "0"}
