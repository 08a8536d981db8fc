import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs.light_trainer import Ui, clear, dispatching, reaches, trains, until
from tanren.errors import BusyError, EnvironmentProblem, UsageError
from tanren.jobs.devices import device_environment, device_lock, usable_devices
from tanren.jobs.dispatcher import Dispatcher
from tanren.jobs.ending import processes_of
from tanren.jobs.folder import read_runner
from tanren.jobs.process import Identity, is_alive
from tanren.jobs.shelf import Shelf
from tanren.jobs.view import detail, log_text, summary
from tanren.locks import Lock, lock_holder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the light trainer is a script")
# Steps of some eight seconds: time enough to be stopped on the way, also on a busy machine.
LONG = 800
# Seconds; half of one on a quiet machine.
LATEST_TAKE_OVER = 20.0


def nonce(job):
    return read_runner(job.folder).nonce


def test_jobs_are_trained_one_after_the_other_in_their_order(shelf, program, submit):
    a, b, c = (submit(name, max_train_steps=5) for name in "abc")
    c.move("up")
    order = []

    with dispatching(shelf, program, lambda job: order.append(("start", job)), lambda job: order.append(("end", job))):
        reaches(b, "completed")
        until(lambda: len(order) == 6)

    assert order == [("start", a), ("end", a), ("start", c), ("end", c), ("start", b), ("end", b)]
    assert {job.state for job in (a, b, c)} == {"completed"}
    assert processes_of(nonce(a)) == processes_of(nonce(b)) == []


def test_every_device_trains_one_job_at_a_time(shelf, program, submit, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    first, waits, other = submit("first"), submit("waits"), submit("other", device="cuda:1")

    with dispatching(shelf, program, devices=["cuda:0", "cuda:1"]):
        trains(first)
        trains(other)
        time.sleep(1.5)
        assert waits.state == "queued"
        assert (first.device(), other.device()) == ("cuda:0", "cuda:1")
        assert lock_holder(tmp_path / "home" / "tanren" / "locks" / "cuda-0.lock")["nonce"] == nonce(first)
        first.ask_stop()
        trains(waits)
        assert other.state == "running"


@pytest.mark.rule("flt-08")
def test_a_device_that_somebody_else_computes_on_is_waited_for(shelf, program, submit):
    job = submit()

    with Lock(device_lock(shelf.data_dir, "cpu")).acquire(what="cpu"), dispatching(shelf, program):
        time.sleep(1.5)
        assert job.state == "queued"
    with dispatching(shelf, program):
        trains(job)
        assert lock_holder(device_lock(shelf.data_dir, "cpu"))["nonce"] == nonce(job)


@pytest.mark.rule("flt-08")
def test_a_job_that_finds_its_output_taken_is_queued_again_and_says_why(shelf, program, submit):
    job = submit(manner="busy", max_train_steps=3)
    told = []

    with dispatching(shelf, program):
        until(lambda: told.append(summary(job)["reason"]) or job.look().attempt > 1)
        until(lambda: "The output is taken." in (told.append(summary(job)["reason"]) or told))
        reaches(job, "completed")

    assert job.look().attempt == 3
    assert summary(job)["reason"] == "the light trainer ended"


@pytest.mark.rule("flt-16")
def test_without_a_whole_environment_jobs_wait_and_say_how_to_repair_it(shelf, program, submit):
    job = submit(max_train_steps=3)
    is_broken = True

    def python():
        if is_broken:
            raise EnvironmentProblem(what="The environment is not whole.", fix="python launch.py setup --repair")
        return program

    with dispatching(shelf, python):
        until(lambda: job.envelope().waiting)
        assert detail(job)["problem"] == {
            "code": 10,
            "where": "",
            "what": "The environment is not whole.",
            "why": "",
            "fix": "python launch.py setup --repair",
        }
        assert (job.state, summary(job)["reason"]) == ("queued", "The environment is not whole.")
        is_broken = False
        reaches(job, "completed")
    assert job.envelope().waiting is None


@pytest.mark.rule("flt-16")
def test_an_interpreter_that_is_gone_leaves_the_job_as_it_was(shelf, submit, tmp_path):
    job = submit()

    with dispatching(shelf, tmp_path / "gone" / "python"):
        until(lambda: job.envelope().waiting)
        time.sleep(0.5)

    assert job.state == "queued"
    assert job.envelope().waiting["what"] == "The trainer could not be started."
    assert not (job.folder / "runner.json").exists()


def test_a_host_that_is_busy_is_asked_again(shelf, program, submit):
    job, asked = submit(max_train_steps=3), []

    def before(job):
        asked.append(job)
        if len(asked) == 1:
            raise BusyError(what="The WebUI is generating.")

    with dispatching(shelf, program, before):
        until(lambda: job.envelope().waiting)
        assert summary(job)["reason"] == "The WebUI is generating."
        reaches(job, "completed")

    assert len(asked) == 2


def test_a_fault_of_the_host_does_not_keep_other_jobs_from_starting(shelf, program, submit, caplog):
    jobs = [submit(name, max_train_steps=3) for name in "ab"]

    def after(job):
        raise RuntimeError("the host's own fault")

    with dispatching(shelf, program, lambda job: None, after):
        reaches(jobs[1], "completed")

    assert "the host's own fault" in caplog.text


def test_a_job_that_fails_says_why_and_the_next_one_starts(shelf, program, submit):
    broken, good = submit("broken", "broken"), submit("good", max_train_steps=3)

    with dispatching(shelf, program):
        reaches(good, "completed")

    assert (broken.state, broken.look().code) == ("failed", 3)
    until(lambda: broken.actions() == ["submit", "retry", "delete"])
    assert detail(broken)["problem"]["fix"] == "Add some."


def test_a_job_with_unreadable_settings_does_not_hold_up_the_queue(shelf, program, submit):
    broken, good = submit("broken"), submit("good", max_train_steps=3)
    (broken.folder / "spec.json").write_text('{"version": 7}')
    asked = []

    with dispatching(Shelf(shelf.data_dir), program, asked.append):
        reaches(good, "completed")

    assert broken.state == "queued"
    assert "newer version" in broken.envelope().waiting["what"]
    assert [job.id for job in asked] == [good.id]


def test_jobs_of_an_earlier_time_wait_until_somebody_says_go(shelf, program, submit):
    old = submit("old", max_train_steps=3)

    with dispatching(shelf, program, paused=True) as dispatcher:
        new = submit("new", max_train_steps=3)
        reaches(new, "completed")
        assert dispatcher.paused
        assert old.state == "queued"
        dispatcher.paused = False
        reaches(old, "completed")
        assert not dispatcher.paused


@pytest.mark.rule("flt-07")
def test_a_killed_ui_leaves_the_training_alone_and_the_next_one_takes_it_over_within_seconds(shelf, program, submit):
    job, following = submit("cat"), submit("dog", max_train_steps=3)
    with Ui(shelf, program) as ui:
        trains(job)
        ui.kill()
    before = read_runner(job.folder)
    assert is_alive(Identity(before.pid, before.started, before.boot))
    trains(job, 50)

    with Ui(shelf, program) as ui:
        began = time.monotonic()
        ui.wait_for("at work")
        adopted = time.monotonic() - began
        job.ask_stop()
        reaches(job, "stopped")
        # Whoever took over starts what comes next.
        reaches(following, "completed")

    print(f"taken over within {adopted:.1f} s of the start of a process")
    assert read_runner(job.folder) == before
    assert processes_of(before.nonce) == []


@pytest.mark.rule("flt-07")
def test_of_two_uis_one_is_at_work_and_the_other_takes_over_when_it_dies(shelf, program, submit):
    with Ui(shelf, program) as first:
        first.wait_for("at work")
        with Ui(shelf, program) as second:
            second.wait_for("waiting")
            job = submit(max_train_steps=3)
            reaches(job, "completed")
            first.kill()
            began = time.monotonic()
            second.wait_for("at work")
            assert time.monotonic() - began < LATEST_TAKE_OVER
            reaches(submit(max_train_steps=3), "completed")


@pytest.mark.rule("flt-07")
def test_what_was_taken_over_is_told_of_when_it_ends(shelf, program, submit):
    job, ended_ones = submit(), []
    with Ui(shelf, program):
        trains(job)

    with dispatching(shelf, program, lambda job: None, ended_ones.append) as dispatcher:
        until(lambda: dispatcher._active)
        os.kill(read_runner(job.folder).pid, signal.SIGKILL)
        reaches(job, "interrupted")
        until(lambda: ended_ones == [job])


@pytest.mark.rule("flt-07")
def test_ending_the_dispatcher_leaves_the_training_alone(shelf, program, submit):
    job = submit()
    dispatcher = Dispatcher(shelf, lambda: program, devices=["cpu"])
    dispatcher.start()
    trains(job)
    dispatcher.stop()

    trains(job, 50)
    clear(shelf)


def test_a_stopped_job_goes_on_where_it_was_as_the_next_attempt(shelf, program, submit):
    job = submit(max_train_steps=LONG)

    with dispatching(shelf, program):
        trains(job, 10)
        job.pause()
        reaches(job, "stopped", "completed")
        assert job.state == "stopped"
        assert summary(job)["is_paused"]
        reached = summary(job)["step"]
        until(lambda: "resume" in job.actions())
        job.resume()
        job.resume()
        reaches(job, "completed")

    assert job.look().attempt == 2
    points = detail(job)["points"]["step"]
    assert points == list(range(1, LONG + 1))
    assert reached < LONG
    assert not summary(job)["is_paused"]
    assert (job.folder / "log.txt").read_text("utf-8") == "attempt 1\nattempt 2\n"


def test_a_killed_trainer_goes_on_from_its_newest_state(shelf, program, submit):
    job = submit(max_train_steps=LONG)

    with dispatching(shelf, program):
        trains(job, 45)
        os.kill(read_runner(job.folder).pid, signal.SIGKILL)
        reaches(job, "interrupted")
        assert "gone" in summary(job)["reason"]
        until(lambda: "resume" in job.actions())
        job.resume()
        reaches(job, "completed")

    assert detail(job)["points"]["step"] == list(range(1, LONG + 1))


def test_a_killed_trainer_without_a_state_can_begin_again(shelf, program, submit):
    job = submit(manner="stateless", max_train_steps=LONG)

    with dispatching(shelf, program):
        trains(job)
        os.kill(read_runner(job.folder).pid, signal.SIGKILL)
        reaches(job, "interrupted")
        assert "resume" not in job.actions()
        with pytest.raises(UsageError, match="cannot be continued"):
            job.resume()
        job.submit()
        reaches(job, "completed")

    assert job.look().attempt == 2


def test_a_requeued_job_can_be_withdrawn_to_what_it_was(shelf, program, submit):
    job = submit()

    with dispatching(shelf, program) as dispatcher:
        trains(job)
        job.ask_stop()
        reaches(job, "stopped")
        until(lambda: not job.look().is_active)
        dispatcher.stop()
        job.resume()
        assert job.state == "queued"
        job.withdraw()

    assert (job.state, job.look().attempt) == ("stopped", 1)


def test_devices_are_chosen_as_everywhere(monkeypatch, tmp_path):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nfor gpu in 0 1 2; do echo NVIDIA GeForce RTX 3060, 580.95, 12288, 12000, 8.6; done\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert usable_devices() == ["cuda:0", "cuda:1", "cuda:2"]
    for value, names in {
        "1": ["cuda:1"],
        "2,0": ["cuda:2", "cuda:0"],
        "": ["cpu"],
        "-1": ["cpu"],
        "7": ["cpu"],
        "GPU-8932f937": ["cuda:0"],
    }.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert usable_devices() == names, value
    driver.write_text("#!/bin/sh\nexit 9\n")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert usable_devices() == ["cpu"]


def test_a_trainer_sees_its_device_only(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert device_environment("cuda:1", is_asked_for=False) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert device_environment("cpu", is_asked_for=True) == {"CUDA_VISIBLE_DEVICES": ""}
    assert device_environment("cpu", is_asked_for=False) == {}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937")
    assert device_environment("cuda:0", is_asked_for=True) == {}


def test_the_lock_of_a_gpu_is_the_same_for_every_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))

    assert device_lock(tmp_path / "a", "cuda:0") == device_lock(tmp_path / "b", "cuda:0")
    assert device_lock(tmp_path / "a", "cpu") == Path(tmp_path, "a", "locks", "cpu.lock")


def broken_interpreter(folder):
    """An interpreter that says what it lacks and is gone."""
    broken = folder / "broken-python"
    broken.write_text("#!/bin/sh\necho 'libpython is missing' >&2\nexit 127\n")
    broken.chmod(0o755)
    return broken


def test_an_environment_that_cannot_even_begin_leads_to_the_log(shelf, submit, tmp_path):
    job = submit()

    with dispatching(shelf, broken_interpreter(tmp_path)):
        reaches(job, "interrupted")

    assert summary(job)["reason"] == "The trainer ended before it could begin; its log tells why."
    assert log_text(job)["text"] == "libpython is missing\n"
    assert job.actions() == ["submit", "retry", "delete"]


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="watches the child end")
def test_a_trainer_that_is_gone_before_anybody_has_looked_at_it_is_seen_as_ended_at_once(
    shelf, submit, tmp_path, monkeypatch
):
    class GoneWhenReturned(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    monkeypatch.setattr(subprocess, "Popen", GoneWhenReturned)
    job = submit()

    with dispatching(shelf, broken_interpreter(tmp_path)):
        until(lambda: (job.folder / "runner.json").exists() and read_runner(job.folder).pid is not None)
        assert job.state == "interrupted"
