import json
import multiprocessing
import os
import shutil
import sys
import threading
import time

import pytest
from faults import count_calls, die_at
from tanren.errors import UsageError
from tanren.files import write_json
from tanren.jobs.shelf import Shelf, slug_of
from tanren.jobs.view import detail, summary

OPTIONS = {"network_dim": 8, "max_train_steps": 5, "resolution": "64,64"}


def names(shelf):
    return [job.envelope().name for job in shelf.queue()]


def test_a_submitted_job_is_a_folder_with_its_settings_and_its_place_in_the_queue(shelf):
    job = shelf.submit("train_network", OPTIONS, name="Mein Kätzchen", request_id="click 1")

    assert job.id.endswith("-Mein-Kätzchen")
    assert sorted(entry.name for entry in job.folder.iterdir()) == ["queue.json", "spec.json"]
    assert json.loads((job.folder / "spec.json").read_text("utf-8")) == {
        "version": 1,
        "command": "train_network",
        "options": {"output_dir": str(shelf.data_dir / "output" / job.id), **OPTIONS},
    }
    envelope = job.envelope()
    assert (envelope.name, envelope.order, envelope.attempt, envelope.is_submitted) == ("Mein Kätzchen", 1, 1, True)
    assert (job.state, job.actions()) == ("queued", ["withdraw", "delete"])


def test_results_go_where_the_settings_say(shelf):
    job = shelf.submit("train_network", {"output_dir": "/mnt/loras"}, name="a", request_id="1")

    assert job.spec().options == {"output_dir": "/mnt/loras"}


@pytest.mark.rule("flt-08")
def test_a_dataset_and_prompts_of_a_form_lie_in_the_jobs_own_folder(shelf, tmp_path):
    named = tmp_path / "mine.txt"
    named.write_text("a cat\n")
    dataset = {"datasets": [{"subsets": [{"image_dir": "/a b"}]}]}

    job = shelf.submit(
        "train_network", {"dataset_config": dataset, "sample_prompts": str(named)}, name="cat", request_id="1"
    )
    named.write_text("a dog\n")

    assert job.spec().options["dataset_config"] == str(job.folder / "dataset.toml")
    assert (job.folder / "dataset.toml").read_text() == '[[datasets]]\n\n[[datasets.subsets]]\nimage_dir = "/a b"\n'
    assert (job.folder / "prompts.txt").read_text() == "a cat\n"


def test_the_same_click_twice_is_one_job(shelf):
    first = shelf.submit("train_network", OPTIONS, name="cat", request_id="click")
    again = shelf.submit("train_network", OPTIONS, name="cat", request_id="click")
    other = shelf.submit("train_network", OPTIONS, name="cat", request_id="another click")

    assert again is first
    assert other.id != first.id
    assert len(shelf.all()) == 2


@pytest.mark.rule("flt-08")
def test_two_starts_at_the_same_moment_are_one_job_a_hundred_times(tmp_path):
    """Each pair as two UIs that share nothing but the folder."""
    for race in range(100):
        shelves = [Shelf(tmp_path), Shelf(tmp_path)]
        barrier = threading.Barrier(2)
        ids = []

        def start(shelf, barrier=barrier, ids=ids, race=race):
            barrier.wait()
            ids.append(shelf.submit("train_network", OPTIONS, name="cat", request_id=f"click {race}").id)

        threads = [threading.Thread(target=start, args=(shelf,)) for shelf in shelves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(ids) == 2
        assert ids[0] == ids[1]
    assert len(Shelf(tmp_path).all()) == 100


def submit_all(folder, barrier, answers):
    shelf = Shelf(folder)
    for race in range(100):
        barrier.wait()
        answers.put((race, shelf.submit("train_network", OPTIONS, name="cat", request_id=f"click {race}").id))


@pytest.mark.rule("flt-08")
def test_two_processes_that_start_at_the_same_moment_make_one_job_a_hundred_times(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    processes = [context.Process(target=submit_all, args=(tmp_path, barrier, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    told = [answers.get(timeout=60) for _ in range(200)]
    for process in processes:
        process.join(60)

    assert len(set(told)) == 100
    assert len(Shelf(tmp_path).all()) == 100
    orders = [job.envelope().order for job in Shelf(tmp_path).all()]
    assert sorted(orders) == list(range(1, 101))


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("train_everything", {}, "There is no command 'train_everything'"),
        ("train_network", {"lerning_rate": 1}, "A job has no such option"),
        ("train_network", {"job_dir": "/elsewhere"}, "A job has no such option"),
        ("train_network", {"wandb_api_key": "secret-value"}, "Secrets are not kept in jobs"),
        ("train_network", {"learning_rate": float("nan")}, "a value that JSON does not have"),
        ("train_network", {"network_args": {1, 2}}, "a value that JSON does not have"),
    ],
)
def test_what_cannot_be_a_job_is_refused_and_leaves_nothing(shelf, command, options, message):
    with pytest.raises(UsageError) as caught:
        shelf.submit(command, options, name="cat", request_id="1")

    assert message in str(caught.value)
    assert "secret-value" not in str(caught.value)
    assert shelf.all() == []


def test_a_device_that_is_none_is_refused(shelf):
    with pytest.raises(UsageError, match="'gpu' is not a device"):
        shelf.submit("train_network", OPTIONS, name="cat", request_id="1", device="gpu")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("猫 v2", "猫-v2"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\nb\x00c", "a-b-c"),
        ("", "job"),
        ("...", "job"),
        ("x" * 300, "x" * 120),
        ("猫" * 100, "猫" * 40),
        ("C:\\new", "C--new"),
        ("\ud800", "job"),
    ],
)
def test_any_name_makes_a_name_of_a_folder(name, slug):
    assert slug_of(name) == slug


def test_jobs_of_one_name_and_second_are_apart(shelf):
    jobs = [shelf.submit("train_network", OPTIONS, name="cat", request_id="") for _ in range(3)]

    assert len({job.id for job in jobs}) == 3


def test_an_unknown_job_is_an_error_with_its_name(shelf):
    for wrong in ("nothing", "../runs", "", "a/b"):
        with pytest.raises(UsageError, match="no such job"):
            shelf.get(wrong)


def test_jobs_change_places_in_the_queue(shelf, submit):
    a, b, c = (submit(name) for name in "abc")
    assert names(shelf) == ["a", "b", "c"]
    assert [set(job.actions()) & {"up", "down"} for job in (a, b, c)] == [{"down"}, {"up", "down"}, {"up"}]

    c.move("up")
    assert names(shelf) == ["a", "c", "b"]
    a.move("down")
    assert names(shelf) == ["c", "a", "b"]
    c.move("up")
    assert names(shelf) == ["c", "a", "b"]
    assert names(Shelf(shelf.data_dir)) == ["c", "a", "b"]


def test_a_job_leaves_the_queue_and_joins_it_again_at_its_end(shelf, submit):
    a, b = submit("a"), submit("b")

    a.withdraw()
    assert (a.state, names(shelf)) == ("draft", ["b"])
    assert a.actions() == ["submit", "retry", "delete"]
    a.submit()
    a.submit()
    assert names(shelf) == ["b", "a"]
    b.ask_stop()
    assert b.state == "draft"
    with pytest.raises(UsageError, match="'b' is draft, so it cannot be withdrawn"):
        b.withdraw()


def test_a_draft_waits_for_its_user(shelf):
    job = shelf.submit("train_network", OPTIONS, name="cat", request_id="1", is_submitted=False)

    assert (job.state, shelf.queue()) == ("draft", [])


def test_a_retry_is_a_new_job_with_some_settings_changed(shelf, submit):
    first = submit("cat", network_dim=8, seed=1, device="cpu")

    again = first.retry({"network_dim": 16, "seed": None}, request_id="click")

    assert again.spec().options == {"output_dir": str(shelf.default_output(again.id)), "network_dim": 16}
    assert first.spec().options["network_dim"] == 8
    assert (again.envelope().name, again.envelope().retry_of, again.envelope().device) == ("cat", first.id, "cpu")
    assert first.retry({}, request_id="click") is again


def test_foreign_and_damaged_folders_do_not_hide_the_others(shelf, submit):
    good = submit("good")
    for name, files in {
        "my notes": {"readme.txt": "hello"},
        "20250101-000000-newer": {"spec.json": '{"version": 99, "command": "x", "options": {}}'},
        "20250101-000001-broken": {
            "spec.json": "{",
            "queue.json": "[1",
            "events.jsonl": "\x00\x00",
            "runner.json": "7",
        },
        "20250101-000002-odd": {"queue.json": '{"version": 1, "order": "first", "attempt": null}', "spec.json": "[]"},
        "20250101-000003-newer-queue": {"queue.json": '{"version": 9}', "spec.json": '{"version": 1, "command": "x"}'},
    }.items():
        (shelf.runs / name).mkdir()
        for file, text in files.items():
            (shelf.runs / name / file).write_text(text)
    (shelf.runs / "a file").write_text("x")

    states = {job.id[16:]: (job.state, job.actions(), detail(job)["problem"] is None) for job in shelf.all()}

    assert states.pop(good.id[16:]) == ("queued", ["withdraw", "delete"], True)
    assert states == {
        "newer": ("draft", ["delete"], False),
        "broken": ("draft", ["delete"], False),
        "odd": ("draft", ["delete"], False),
        "newer-queue": ("draft", ["delete"], False),
    }
    assert "written by a newer version" in detail(shelf.get("20250101-000000-newer"))["problem"]["what"]


def test_a_folder_that_is_deleted_by_hand_is_gone_from_the_list(shelf, submit):
    job = submit("cat")
    shutil.rmtree(job.folder)

    assert shelf.all() == []
    assert summary(job)["state"] == "draft"


@pytest.mark.rule("flt-01")
def test_half_of_a_job_that_a_killed_ui_left_is_never_seen_and_swept(shelf, submit):
    submit("cat")
    part = shelf.runs / ".tn-00000000.part"
    part.mkdir()
    (part / "spec.json").write_text("{")
    os.utime(part, (1, 1))

    assert len(shelf.all()) == 1
    submit("dog")
    assert not part.exists()


def test_looking_at_five_hundred_jobs_is_quick(shelf, submit):
    job = submit("cat")
    spec = (job.folder / "spec.json").read_bytes()
    for number in range(500):
        folder = shelf.runs / f"20250101-{number:06d}-cat"
        folder.mkdir()
        (folder / "spec.json").write_bytes(spec)
        write_json(folder / "runner.json", {"attempt": 1, "nonce": "n", "pid": 1, "device": "cpu"}, sync=False)
        write_json(folder / "result.json", {"attempt": 1, "code": 0}, sync=False)
        write_json(folder / "progress.json", {"attempt": 1, "step": 200, "total_steps": 200}, sync=False)
        line = '{"kind": "step", "time": 1.0, "step": 1, "loss": 0.5, "average": 0.5, "seconds": 0.5}\n'
        (folder / "events.jsonl").write_text(line * 200)
    began = time.process_time()
    assert len([summary(job) for job in shelf.all()]) == 501
    first = time.process_time() - began
    began = time.process_time()
    assert {summary(job)["state"] for job in shelf.all()} == {"completed", "queued"}
    again = time.process_time() - began

    print(f"first {first:.3f} s, again {again:.3f} s")
    assert first < 5
    assert again < 0.5


@pytest.mark.rule("flt-01")
@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_ui_that_dies_at_any_call_of_a_start_leaves_one_job_or_none(tmp_path):
    def start(folder):
        return Shelf(folder).submit("train_network", OPTIONS, name="cat", request_id="click")

    calls = len(count_calls(lambda: start(tmp_path / "counted")))
    found = []

    for call in range(1, calls + 1):
        folder = tmp_path / str(call)
        die_at(call, lambda folder=folder: start(folder))
        found.append(len(Shelf(folder).all()))
        job = start(folder)
        assert [one.id for one in Shelf(folder).queue()] == [job.id]
        assert job.spec().options["network_dim"] == 8

    assert sorted(set(found)) == [0, 1]


@pytest.mark.rule("flt-01")
@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_ui_that_dies_at_any_call_of_a_change_leaves_a_queue_of_all_jobs(tmp_path):
    def queue(folder):
        shelf = Shelf(folder)
        return [shelf.submit("train_network", OPTIONS, name=name, request_id=name) for name in "abc"]

    def change(folder):
        jobs = {job.envelope().name: job for job in Shelf(folder).all()}
        jobs["c"].move("up")
        jobs["a"].withdraw()

    queue(tmp_path / "counted")
    for call in range(1, len(count_calls(lambda: change(tmp_path / "counted"))) + 1):
        folder = tmp_path / str(call)
        queue(folder)
        die_at(call, lambda folder=folder: change(folder))
        states = {job.envelope().name: job.state for job in Shelf(folder).all()}
        assert states in ({"a": state, "b": "queued", "c": "queued"} for state in ("queued", "draft"))
