import pytest
from tanren.files import write_json
from tanren.folders import durable_folder
from tanren.jobs.derived import Derived, Facts, Observer, derive
from tanren.jobs.folder import CHECKPOINTS, ask, checkpoint_step
from tanren.jobs.process import identity_of, is_alive, this_process
from tanren.locks import Lock


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (Facts(), Derived("queued")),
        (Facts(is_submitted=False), Derived("draft")),
        (Facts(has_runner=True, is_alive=True, runner_seconds=59), Derived("starting")),
        (Facts(has_runner=True, is_alive=True, runner_seconds=60), Derived("interrupted")),
        (Facts(has_runner=True, is_alive=False, runner_seconds=1), Derived("interrupted")),
        (Facts(has_runner=True, has_checkpoint=True), Derived("interrupted", is_resumable=True)),
        (Facts(has_runner=True, is_ended_at_once=True), Derived("stopped", is_unsaved=True)),
        (
            Facts(has_runner=True, is_ended_at_once=True, has_checkpoint=True),
            Derived("stopped", is_resumable=True, is_unsaved=True),
        ),
        (Facts(is_locked=True, has_runner=True, is_asked_to_stop=True, is_ended_at_once=True), Derived("stopping")),
        (Facts(is_locked=True, has_runner=True), Derived("running")),
        (Facts(is_locked=True, has_runner=True, is_asked_to_stop=True), Derived("stopping")),
        (Facts(is_locked=True, has_runner=True, still_seconds=300), Derived("running")),
        (Facts(is_locked=True, has_runner=True, still_seconds=301), Derived("stalled")),
        (Facts(code=0, has_runner=True), Derived("completed")),
        (Facts(code=0, is_locked=True, has_runner=True), Derived("completed")),
        (Facts(code=20, has_runner=True), Derived("stopped", is_resumable=True)),
        (Facts(code=7, has_runner=True), Derived("failed", code=7)),
        (Facts(code=1, has_runner=True, has_checkpoint=True), Derived("failed", is_resumable=True, code=1)),
    ],
)
def test_each_row_of_the_table(facts, state):
    assert derive(facts) == state


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def runner(folder, attempt=1, **more):
    write_json(
        folder / "runner.json",
        {"attempt": attempt, "nonce": f"n{attempt}", "pid": None, "started": "", "boot": "", **more},
    )


def result(folder, code, attempt=1):
    write_json(folder / "result.json", {"attempt": attempt, "code": code})


def test_a_job_from_its_draft_to_its_end(tmp_path):
    clock = Clock()
    observer = Observer(tmp_path, clock)

    assert observer.look(is_submitted=False).state == "draft"
    assert observer.look().state == "queued"
    runner(tmp_path)
    assert observer.look().state == "starting"
    with Lock(tmp_path / "job.lock").acquire(what="job"):
        assert observer.look().state == "running"
        ask(tmp_path, ["stop"], attempt=1)
        assert observer.look().state == "stopping"
        result(tmp_path, 20)
        assert observer.look().state == "stopped"
    assert observer.look() == Derived("stopped", is_resumable=True)


@pytest.mark.rule("flt-10")
def test_starting_lasts_a_minute_of_the_observers_clock(tmp_path):
    clock = Clock()
    observer = Observer(tmp_path, clock)
    runner(tmp_path)

    assert observer.look().state == "starting"
    clock.now += 59
    assert observer.look().state == "starting"
    clock.now += 1
    assert observer.look().state == "interrupted"


def test_a_run_is_stalled_when_its_counter_stands_still_and_runs_again_when_it_moves(tmp_path):
    clock = Clock()
    observer = Observer(tmp_path, clock)
    runner(tmp_path)

    with Lock(tmp_path / "job.lock").acquire(what="job"):
        write_json(tmp_path / "progress.json", {"attempt": 1, "counter": 5, "beat": 1})
        assert observer.look().state == "running"
        clock.now += 301
        write_json(tmp_path / "progress.json", {"attempt": 1, "counter": 5, "beat": 60})
        assert observer.look().state == "stalled"
        write_json(tmp_path / "progress.json", {"attempt": 1, "counter": 6, "beat": 61})
        assert observer.look().state == "running"


def test_files_of_an_earlier_attempt_say_nothing_about_the_wanted_one(tmp_path):
    observer = Observer(tmp_path)
    runner(tmp_path, 1)
    result(tmp_path, 20, attempt=1)
    ask(tmp_path, ["stop"], attempt=1)

    assert observer.look(attempt=2).state == "queued"
    runner(tmp_path, 2)
    assert observer.look().state == "starting"
    with Lock(tmp_path / "job.lock").acquire(what="job"):
        assert observer.look().state == "running"
    result(tmp_path, 4, attempt=2)
    assert observer.look() == Derived("failed", code=4)


def test_a_process_that_is_gone_is_interrupted_at_once(tmp_path):
    me = this_process()
    observer = Observer(tmp_path)

    runner(tmp_path, pid=me.pid, started=me.started, boot=me.boot)
    assert observer.look().state == "starting"
    runner(tmp_path, pid=me.pid, started="long ago", boot=me.boot)
    assert observer.look().state == "interrupted"


def test_a_process_that_was_ended_at_once_as_somebody_wished_is_stopped_and_unsaved(tmp_path):
    observer = Observer(tmp_path)
    runner(tmp_path, pid=2**22, started="long ago", boot="x")
    ask(tmp_path, ["stop"], attempt=1)

    assert observer.look() == Derived("interrupted")
    ask(tmp_path, ["stop at once"], attempt=1)
    assert observer.look() == Derived("stopped", is_unsaved=True)
    runner(tmp_path, 2, pid=2**22, started="long ago", boot="x")
    assert observer.look() == Derived("interrupted")


def test_a_whole_checkpoint_makes_a_job_resumable(tmp_path):
    runner(tmp_path, pid=2**22, started="long ago", boot="x")
    (tmp_path / CHECKPOINTS).mkdir()
    (tmp_path / CHECKPOINTS / "step-00000005").mkdir()

    assert Observer(tmp_path).look() == Derived("interrupted")
    durable_folder(tmp_path / CHECKPOINTS / "step-00000010", lambda part: (part / "w").write_bytes(b"x"))
    assert Observer(tmp_path).look() == Derived("interrupted", is_resumable=True)
    (tmp_path / CHECKPOINTS / "step-00000020").mkdir()
    assert checkpoint_step(tmp_path) == 10


def test_files_that_cannot_be_read_are_as_if_they_were_not_there(tmp_path):
    for name in ("runner.json", "result.json", "control.json", "progress.json"):
        (tmp_path / name).write_text("{half")

    assert Observer(tmp_path).look().state == "queued"


def test_a_process_is_known_by_more_than_its_number():
    me = this_process()

    assert is_alive(me)
    assert identity_of(me.pid) == me
    assert not is_alive(type(me)(me.pid, "another start", me.boot))
    assert identity_of(2**22 + 1) is None
