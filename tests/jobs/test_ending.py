import os
import signal
import subprocess
import sys
import time

import pytest
from jobs.light_trainer import dispatching, reaches, trains, until
from tanren.errors import BusyError, UsageError
from tanren.files import write_json
from tanren.jobs.ending import end_attempt, is_ours, processes_of
from tanren.jobs.folder import NONCE_VARIABLE, Runner, ask, read_object, read_runner
from tanren.jobs.process import identity_of
from tanren.jobs.view import summary
from tanren.jobs.watching import Patience, grace_seconds
from tanren.locks import Lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the light trainer is a script")


def nonce(job):
    return read_runner(job.folder).nonce


def test_a_stop_saves_and_nothing_is_left(shelf, program, submit):
    job = submit()

    with dispatching(shelf, program):
        trains(job, 3)
        job.ask_stop()
        assert job.state in ("stopping", "stopped")
        reaches(job, "stopped")
        until(lambda: not job.look().is_active)

    assert job.look().is_resumable
    assert list((job.folder / "checkpoints").glob("step-*"))
    assert processes_of(nonce(job)) == []
    assert job.actions() == ["resume", "retry", "delete"]


@pytest.mark.parametrize("manner", ["", "deaf", "deaf worker", "worker apart"])
def test_stopping_at_once_ends_everything_that_carries_the_nonce(shelf, program, submit, manner):
    job = submit(manner=manner)

    with dispatching(shelf, program):
        trains(job)
        if "worker" in manner:
            until(lambda: len(processes_of(nonce(job))) == 2)
        began = time.monotonic()
        job.stop_now(wait=True)
        seconds = time.monotonic() - began

    assert processes_of(nonce(job)) == []
    assert job.state == "stopped"
    # Steps of the light trainer are so short that one which hears may have saved before the second TERM.
    if "deaf" in manner:
        told = summary(job)
        assert (told["is_unsaved"], told["reason"]) == (True, "It was ended at once, without saving.")
    assert seconds < 60


def test_stopping_at_once_goes_on_when_the_ui_that_was_asked_dies(shelf, program, submit):
    """The wish stands in the job's folder; whoever dispatches fulfils it."""
    job = submit()

    with dispatching(shelf, program):
        trains(job)
        ask(job.folder, ["stop at once"], 1)
        reaches(job, "stopped")
        until(lambda: not job.look().is_active)

    assert processes_of(nonce(job)) == []


def test_a_trainer_that_does_not_stop_in_its_grace_is_ended(shelf, program, submit):
    job, clock, ended = submit(manner="deaf"), [0.0], []

    with dispatching(shelf, program) as dispatcher:
        trains(job)
        dispatcher.stop()
        patience = Patience(lambda: clock[0], lambda folder, at_once: ended.append((folder, at_once)) or True)
        patience.look(job)
        job.ask_stop()
        for clock[0] in (0.0, 59.0):
            patience.look(job)
        assert ended == []
        assert summary(job)["grace_seconds"] == 60.0
        clock[0] = 60.0
        patience.look(job)
        until(lambda: ended == [(job.folder, False)])
        began = time.monotonic()
        assert end_attempt(job.folder, at_once=False, term_seconds=1.0)
        assert time.monotonic() - began < 60

    assert job.state == "interrupted"
    assert processes_of(nonce(job)) == []


def test_a_trainer_that_ends_within_the_ten_seconds_after_term_may_still_save(shelf, program, submit):
    job = submit()

    with dispatching(shelf, program):
        trains(job)
        assert end_attempt(job.folder, at_once=False)

    assert job.state == "stopped"


def test_slow_steps_lengthen_the_grace(tmp_path):
    assert grace_seconds(tmp_path) == 60.0
    write_json(tmp_path / "progress.json", {"seconds": 45.5})
    assert grace_seconds(tmp_path) == 136.5


def test_a_trainer_that_stays_after_its_result_is_ended_after_a_minute(shelf, program, submit):
    job, clock, ended = submit(manner="hang", max_train_steps=3), [0.0], []

    with dispatching(shelf, program) as dispatcher:
        reaches(job, "completed")
        dispatcher.stop()
        assert job.look().is_active
        assert job.actions() == ["retry"]
        patience = Patience(lambda: clock[0], lambda folder, at_once: ended.append(at_once) or True)
        for clock[0] in (0.0, 59.0, 60.0):
            patience.look(job)
        until(lambda: ended == [True])


def test_saving_and_sampling_are_asked_for_while_it_trains(shelf, program, submit, tmp_path):
    plain, with_prompts = submit("plain"), submit("prompts", sample_prompts=str(tmp_path / "prompts.txt"))

    with dispatching(shelf, program):
        trains(plain)
        assert plain.actions() == ["stop", "stop_now", "pause", "save"]
        with pytest.raises(UsageError, match="cannot be asked for pictures"):
            plain.sample_now()
        plain.save_now()
        until(lambda: list((shelf.default_output(plain.id)).glob("light-*.safetensors")))
        with pytest.raises(BusyError, match="'plain' is running, so it cannot be deleted"):
            plain.delete()
        plain.ask_stop()
        trains(with_prompts)
        assert with_prompts.actions() == ["stop", "stop_now", "pause", "save", "sample"]
        with_prompts.sample_now()
        assert read_object(with_prompts.folder / "control.json")["requests"] == ["sample"]


def test_a_wish_to_stop_outlasts_later_wishes(shelf, program, submit):
    job = submit()
    ask(job.folder, ["stop"], 1)
    ask(job.folder, ["save"], 1)
    assert read_object(job.folder / "control.json")["requests"] == ["save", "stop"]

    ask(job.folder, ["save"], 2)
    assert read_object(job.folder / "control.json")["requests"] == ["save"]


def test_a_job_that_does_not_run_cannot_be_stopped(submit):
    job = submit()
    job.withdraw()

    with pytest.raises(UsageError, match="'cat' is draft, so it cannot be stopped at once"):
        job.stop_now()


def test_processes_that_are_not_ours_are_never_touched(tmp_path):
    """Same number, another start; and the very process, without our nonce."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        try:
            known = identity_of(other.pid)
            for started in ("long ago", known.started):
                runner = Runner(1, "abc", other.pid, started, known.boot, "cpu")
                write_json(tmp_path / "runner.json", vars(runner))
                assert not is_ours(tmp_path, runner)
                end_attempt(tmp_path, at_once=True)
                time.sleep(0.2)
                assert other.poll() is None
        finally:
            other.kill()


def test_a_job_started_at_a_shell_is_asked_to_stop_but_never_killed(shelf, program, submit):
    job = submit()
    job.withdraw()
    environment = {name: value for name, value in os.environ.items() if name != NONCE_VARIABLE}
    with subprocess.Popen([str(program), f"--job_dir={job.folder}"], env=environment) as process:
        try:
            trains(job)
            assert (job.look().is_by_hand, job.actions()) == (True, ["stop", "pause", "save"])
            with pytest.raises(UsageError, match="was not started here"):
                job.stop_now()
            assert process.poll() is None
            job.ask_stop()
            assert process.wait(120) == 20
        finally:
            process.kill()
    assert job.state == "stopped"


def test_a_kill_at_a_shell_leaves_an_interrupted_job_and_its_workers_are_cleared_away(shelf, program, submit):
    job = submit(manner="worker")

    with dispatching(shelf, program):
        trains(job)
        until(lambda: len(processes_of(nonce(job))) == 2)
        os.kill(read_runner(job.folder).pid, signal.SIGKILL)
        reaches(job, "interrupted")
        until(lambda: processes_of(nonce(job)) == [])


def test_a_job_whose_lock_is_held_is_not_deleted(submit):
    job = submit()

    with Lock(job.folder / "job.lock").acquire(what="job"), pytest.raises(BusyError, match="so it cannot be deleted"):
        job.delete()
    assert job.folder.is_dir()
