import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from faults import count_calls, die_at, names_in
from jobs.light_trainer import until
from tanren.errors import BusyError, NumericError, UsageError
from tanren.events import Report
from tanren.files import read_lines
from tanren.folders import durable_folder
from tanren.jobs.derived import Observer
from tanren.jobs.folder import DEVICE_LOCK_VARIABLE, NONCE_VARIABLE, Spec, ask, read_spec, write_spec
from tanren.jobs.job import lock_device, lock_output, open_job, options_of_attempt, spec_of
from tanren.options.network import NetworkOptions
from tanren.options.spec import Settings
from tanren.options.tracking import TrackingOptions

SPEC = Spec("train_network", {"network_dim": 8, "seed": 1})


def events(folder):
    return [json.loads(line) for line in read_lines(folder / "events.jsonl")]


def read(folder, name):
    return json.loads((folder / name).read_text("utf-8"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv(NONCE_VARIABLE, raising=False)
    return tmp_path / "2026-01-01-猫"


def test_a_job_started_by_hand_writes_its_whole_folder(folder):
    job = open_job(folder, SPEC)
    report = Report([job.sink], asked=job.asked)
    with report.phase("load", 1) as phase:
        phase.advance()
    report.tell("step", step=1, epoch=1, loss=0.5, average=0.5, lr={"unet": 1e-4}, seconds=0.1, memory=10)
    job.finish(0, reason="done", files=["cat.safetensors"])

    assert names_in(folder) == ["events.jsonl", "job.lock", "progress.json", "result.json", "runner.json", "spec.json"]
    assert read(folder, "spec.json") == {
        "version": 1,
        "command": "train_network",
        "options": {"network_dim": 8, "seed": 1},
    }
    assert read(folder, "runner.json")["attempt"] == 1
    assert [event["kind"] for event in events(folder)] == ["phase", "phase", "step", "ended"]
    progress = read(folder, "progress.json")
    assert (progress["step"], progress["phase"], progress["loss"], progress["counter"]) == (1, "train", 0.5, 4)
    outcome = read(folder, "result.json")
    assert (outcome["attempt"], outcome["code"], outcome["state"], outcome["files"]) == (
        1, 0, "completed", ["cat.safetensors"],
    )  # fmt: skip
    assert Observer(folder).look().state == "completed"


def test_a_problem_is_told_with_the_same_text_as_everywhere(folder):
    problem = NumericError(where="step 7", what="The loss is not a number.", why="high rate", fix="Lower it.")
    job = open_job(folder, SPEC)
    job.finish(problem.code, problem=problem)

    assert read(folder, "result.json")["problem"] == {
        "code": 7, "where": "step 7", "what": "The loss is not a number.", "why": "high rate", "fix": "Lower it.",
    }  # fmt: skip
    assert Observer(folder).look().state == "failed"


def test_the_next_start_by_hand_is_the_next_attempt(folder):
    open_job(folder, SPEC).finish(20)
    job = open_job(folder, SPEC)

    assert read(folder, "runner.json")["attempt"] == 2
    assert Observer(folder).look().state == "running"
    job.finish(0)
    assert read(folder, "result.json")["attempt"] == 2


def test_a_spawned_process_is_the_attempt_whose_nonce_it_carries(folder, monkeypatch):
    folder.mkdir()
    runner = '{"attempt": 3, "nonce": "abc", "pid": null, "started": "", "boot": ""}'
    (folder / "runner.json").write_text(runner)
    monkeypatch.setenv(NONCE_VARIABLE, "abc")

    job = open_job(folder, SPEC)

    assert (job.runner.attempt, job.is_by_hand) == (3, False)
    assert (folder / "runner.json").read_text() == runner
    job.finish(0)
    again = open_job(folder, SPEC)
    assert (again.runner.attempt, again.is_by_hand) == (4, True)
    again.finish(0)


def test_a_folder_of_a_run_with_other_settings_is_refused(folder):
    open_job(folder, SPEC).finish(20)

    with pytest.raises(UsageError, match="other settings: network_dim, unet_lr"):
        open_job(folder, Spec("train_network", {"network_dim": 4, "seed": 1, "unet_lr": 1.0}))
    goes_on = {**SPEC.options, "resume": "x", "max_train_steps": 9, "console_log_simple": True}
    open_job(folder, Spec("train_network", goes_on)).finish(0)
    assert read_spec(folder) == SPEC


@pytest.mark.rule("cfg-04")
def test_a_spec_of_a_newer_version_is_refused_with_its_version(folder):
    folder.mkdir()
    write_spec(folder, Spec("train_network", {}, version=2))

    with pytest.raises(UsageError, match=r"written by a newer version \(format 2; this one reads 1\)"):
        open_job(folder, SPEC)


@pytest.mark.rule("cfg-01")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not the spec of a job"),
        ('{"version": 1, "command": 3, "options": {}}', "not the spec of a job"),
        ('{"version": 1, "command": "a", "options": {}, "comand": 1}', "unknown entries: comand"),
    ],
)
def test_a_spec_that_is_none_is_refused(folder, text, message):
    folder.mkdir()
    (folder / "spec.json").write_text(text)

    with pytest.raises(UsageError, match=message):
        read_spec(folder)


TRAINER = """
    import sys, time
    from pathlib import Path
    from tanren.events import Report
    from tanren.jobs.folder import Spec
    from tanren.jobs.job import open_job
    job = open_job(Path(sys.argv[1]), Spec("train_network", {"network_dim": 8, "seed": 1}))
    report = Report([job.sink], job.asked)
    print("up", flush=True)
    for step in range(100_000):
        report.tell("step", step=step, epoch=1, loss=1.0, average=1.0, lr={}, seconds=0.0, memory=0)
        if "stop" in report.asked():
            job.finish(20, step=step)
            break
        time.sleep(0.002)
"""


def trainer(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TRAINER), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


@pytest.mark.rule("flt-08")
def test_a_second_trainer_for_the_same_job_is_told_who_runs_it(folder):
    process = trainer(folder)
    try:
        with pytest.raises(BusyError, match=f"in use by process {process.pid}"):
            open_job(folder, SPEC)
    finally:
        process.kill()
        process.wait()


@pytest.mark.rule("flt-01")
def test_a_killed_trainer_leaves_an_interrupted_job_with_whole_lines_that_can_start_again(folder):
    process = trainer(folder)
    observer = Observer(folder)
    assert observer.look().state == "running"
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"kind": "st')

    assert observer.look().state == "interrupted"
    assert all(event["kind"] == "step" for event in events(folder))
    job = open_job(folder, SPEC)
    assert job.runner.attempt == 2
    job.finish(0)
    assert events(folder)[-1]["kind"] == "ended"
    assert observer.look().state == "completed"


@pytest.mark.rule("flt-01")
@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_job_that_dies_at_any_call_has_a_state_and_can_start_again(tmp_path, monkeypatch):
    monkeypatch.delenv(NONCE_VARIABLE, raising=False)
    calls = len(count_calls(lambda: open_job(tmp_path / "counted", SPEC).finish(0)))
    states = []

    for call in range(1, calls + 1):
        folder = tmp_path / str(call)
        die_at(call, lambda folder=folder: open_job(folder, SPEC).finish(0))
        states.append(Observer(folder).look().state)
        open_job(folder, SPEC).finish(0)
        assert Observer(folder).look().state == "completed"

    assert list(dict.fromkeys(states)) == ["queued", "interrupted", "completed"]


@pytest.mark.parametrize("by", ["control", "plain file"])
def test_a_running_trainer_stops_when_asked(folder, by):
    process = trainer(folder)
    if by == "control":
        ask(folder, ["stop"], attempt=1)
    else:
        (folder / "stop").touch()

    assert process.wait(timeout=120) == 0
    assert Observer(folder).look().state == "stopped"
    assert not (folder / "stop").exists()


def test_every_request_is_heard_once_and_only_by_the_attempt_it_is_meant_for(folder):
    folder.mkdir()
    ask(folder, ["stop"], attempt=1)
    (folder / "runner.json").write_text('{"attempt": 1, "nonce": "old", "pid": null, "started": "", "boot": ""}')
    (folder / "save").touch()

    job = open_job(folder, SPEC)

    assert job.runner.attempt == 2
    assert job.asked() == set()
    ask(folder, ["save", "sample"], attempt=2)
    assert job.asked() == {"save", "sample"}
    assert job.asked() == set()
    ask(folder, ["stop"], attempt=1)
    assert job.asked() == set()
    (folder / "sample").touch()
    ask(folder, ["stop"], attempt=2)
    assert job.asked() == {"stop", "sample"}
    job.finish(20)


def test_a_request_for_an_attempt_that_is_just_starting_is_heard(folder, monkeypatch):
    folder.mkdir()
    (folder / "runner.json").write_text('{"attempt": 1, "nonce": "abc", "pid": null, "started": "", "boot": ""}')
    monkeypatch.setenv(NONCE_VARIABLE, "abc")
    ask(folder, ["stop"], attempt=1)

    job = open_job(folder, SPEC)

    assert job.asked() == {"stop"}
    job.finish(20)


def test_leftovers_of_killed_attempts_are_swept_and_counted(folder):
    (folder / "checkpoints" / ".tn-00000000.part").mkdir(parents=True)
    (folder / ".tn-00000001.tmp").write_text("half")
    old = time.time() - 60
    for leftover in (folder / ".tn-00000001.tmp", folder / "checkpoints" / ".tn-00000000.part"):
        os.utime(leftover, (old, old))

    job = open_job(folder, SPEC)
    job.finish(0)

    assert job.swept == 2
    assert names_in(folder / "checkpoints") == []


def test_a_phase_of_many_pictures_is_told_about_once_a_second(folder):
    job = open_job(folder, SPEC)
    report = Report([job.sink])
    with report.phase("cache latents", 5000) as phase:
        for _ in range(5000):
            phase.advance()
    job.finish(0)

    told = [event["done"] for event in events(folder) if event["kind"] == "phase"]
    assert told[0] == 0 and told[-1] == 5000
    assert len(told) < 60


def test_the_heart_beats_while_nothing_is_told(folder, monkeypatch):
    monkeypatch.setattr("tanren.jobs.sink.PROGRESS_SECONDS", 0.02)
    monkeypatch.setattr("tanren.jobs.sink.HEARTBEAT_SECONDS", 0.05)
    job = open_job(folder, SPEC)
    first = read(folder, "progress.json")
    until(lambda: read(folder, "progress.json")["beat"] > first["beat"])
    later = read(folder, "progress.json")
    job.finish(0)

    assert later["counter"] == first["counter"]


@pytest.mark.rule("flt-12")
def test_a_job_folder_that_cannot_be_written_does_not_stop_the_run(folder, monkeypatch, caplog):
    job = open_job(folder, SPEC)
    monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))

    for step in range(3):
        job.sink({"kind": "step", "time": 0.0, "step": step})

    assert job.sink.failures == 3
    assert len([record for record in caplog.records if "the run goes on" in record.message]) == 1
    monkeypatch.undo()
    job.finish(0)


def test_numbers_that_json_does_not_have_become_null(folder):
    job = open_job(folder, SPEC)
    job.sink({"kind": "step", "time": 0.0, "step": 1, "loss": float("nan"), "lr": {"unet": float("inf")}})
    job.finish(0)

    assert events(folder)[0]["loss"] is None
    assert events(folder)[0]["lr"] == {"unet": None}
    assert "NaN" not in (folder / "progress.json").read_text()


def test_secrets_are_in_no_file_of_a_job(folder):
    job = open_job(folder, SPEC, known_secrets=["opensesame"])
    job.sink({"kind": "note", "time": 0.0, "text": "key opensesame and hf_abcdefghijklmnopqrstuv"})
    job.finish(1, reason="opensesame was refused")

    for name in names_in(folder):
        text = (folder / name).read_text("utf-8")
        assert "opensesame" not in text and "hf_abcdef" not in text


def test_the_spec_is_what_the_user_set_without_secrets_and_without_places():
    settings = Settings(
        "train_network",
        [NetworkOptions(network_dim=8, network_args=("a=1",)), TrackingOptions(wandb_api_key="x", log_prefix="p")],
        frozenset(("network_dim", "network_args", "wandb_api_key", "log_prefix", "job_dir")),
    )

    assert spec_of(settings) == Spec("train_network", {"log_prefix": "p", "network_args": ["a=1"], "network_dim": 8})


@pytest.mark.rule("flt-08")
def test_an_output_name_is_written_by_one_run_at_a_time(tmp_path):
    with lock_output(tmp_path, "鍛錬"):
        with pytest.raises(BusyError, match="The output name '鍛錬' in"):
            lock_output(tmp_path, "鍛錬")
        lock_output(tmp_path, "other").release()
    lock_output(tmp_path, "鍛錬").release()


def test_totals_of_the_training_outlast_sample_pictures(folder):
    job = open_job(folder, SPEC)
    report = Report([job.sink])
    report.tell("phase", name="train", done=0, total=40, epochs=4)
    with report.phase("sample", 2) as phase:
        phase.advance()
    report.tell("sample", file="/out/cat.png", prompt="", seed=1, index=0, step=0)
    report.tell("step", step=1, epoch=1, loss=0.5, average=0.5, lr={}, seconds=0.1, memory=10)
    job.finish(0)

    progress = read(folder, "progress.json")
    assert (progress["phase"], progress["done"], progress["total"]) == ("train", 1, 40)
    assert (progress["total_steps"], progress["total_epochs"], progress["sample"]) == (40, 4, "/out/cat.png")


def test_a_job_goes_on_from_its_own_state_not_from_the_one_it_began_with(folder):
    spec = Spec("train_network", {"network_dim": 8, "resume": "/states/old"})
    assert options_of_attempt(folder, spec) == {"network_dim": 8, "resume": "/states/old"}

    (folder / "checkpoints").mkdir(parents=True)
    durable_folder(folder / "checkpoints" / "step-00000001", lambda part: (part / "w").write_bytes(b"x"))
    assert options_of_attempt(folder, spec) == {"network_dim": 8}


@pytest.mark.rule("flt-08")
def test_a_trainer_holds_the_device_it_was_given_and_a_second_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(DEVICE_LOCK_VARIABLE, raising=False)
    assert lock_device() is None
    monkeypatch.setenv(DEVICE_LOCK_VARIABLE, str(tmp_path / "cuda-0.lock"))
    with lock_device(), pytest.raises(BusyError, match=f"The device cuda-0 is in use by process {os.getpid()}"):
        lock_device()
    lock_device().release()
