import os
import sys
import time

import pytest
from jobs.light_trainer import dispatching, reaches, until
from tanren.errors import UsageError
from tanren.files import append_line
from tanren.folders import durable_folder
from tanren.jobs.trash import empty_trash, outputs_of, put_back, remove_for_good, trashed, trashed_jobs


def saved(job, path, kind="saved"):
    append_line(
        job.folder / "events.jsonl", f'{{"kind": "{kind}", "time": {time.time()}, "file": "{path}", "step": 1}}'
    )


@pytest.fixture
def finished(shelf, submit):
    """A job with a state, a log, weights, a sample picture and a kept state."""
    job = submit()
    job.withdraw()
    out = shelf.default_output(job.id)
    (out / "sample").mkdir(parents=True)
    (job.folder / "checkpoints").mkdir()
    durable_folder(job.folder / "checkpoints" / "step-00000001", lambda part: (part / "w").write_bytes(b"x"))
    durable_folder(out / "cat-state", lambda part: (part / "w").write_bytes(b"x"))
    (out / "cat.safetensors").write_bytes(b"weights")
    (out / "sample" / "cat.png").write_bytes(b"picture")
    (job.folder / "log.txt").write_text("log")
    saved(job, out / "cat.safetensors")
    saved(job, out / "sample" / "cat.png", "sample")
    return job


def test_a_deleted_job_lies_in_the_trash_and_its_results_stay(shelf, finished):
    out = shelf.default_output(finished.id)

    place = finished.delete()

    assert shelf.all() == []
    assert place == shelf.trash / finished.id
    assert trashed(shelf) == [finished.id]
    assert sorted(path.name for path in out.iterdir()) == ["cat-state", "cat.safetensors", "sample"]


def test_results_go_along_when_that_is_asked_for(shelf, finished):
    out = shelf.default_output(finished.id)
    (out / "mine.txt").write_text("a note")

    place = finished.delete(with_outputs=True)

    assert sorted(path.name for path in (place / "outputs").iterdir()) == ["cat-state", "cat.png", "cat.safetensors"]
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_result_that_another_run_wrote_since_stays(shelf, finished):
    out = shelf.default_output(finished.id)
    later = time.time() + 60
    os.utime(out / "cat.safetensors", (later, later))

    assert [path.name for path in outputs_of(finished.folder)] == ["cat.png"]


def test_a_job_comes_back_from_the_trash(shelf, finished):
    finished.delete()

    put_back(shelf, finished.id)

    assert [job.id for job in shelf.all()] == [finished.id]
    assert shelf.get(finished.id).spec().command == "train_network"
    for wrong in ("nothing", "../runs", finished.id):
        with pytest.raises(UsageError, match="not in the trash"):
            put_back(shelf, wrong)


def test_results_that_went_along_come_back_to_where_they_were(shelf, finished):
    out = shelf.default_output(finished.id)
    finished.delete(with_outputs=True)
    assert not out.exists()

    put_back(shelf, finished.id)

    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
        *("cat-state/manifest.json", "cat.safetensors", "sample/cat.png")
    ]
    assert (out / "cat.safetensors").read_bytes() == b"weights"
    assert not (finished.folder / "outputs").exists()


def test_a_result_in_diffusers_layout_goes_along_with_its_state_and_comes_back(shelf, finished):
    out = shelf.default_output(finished.id)
    weights = out / "cat-v1.5" / "pytorch_lora_weights.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    durable_folder(out / "cat-v1.5-state", lambda part: (part / "w").write_bytes(b"x"))
    saved(finished, weights)

    assert out / "cat-v1.5-state" in outputs_of(finished.folder)
    finished.delete(with_outputs=True)
    assert not out.exists()
    put_back(shelf, finished.id)
    assert weights.read_bytes() == b"weights"


def test_a_result_whose_place_is_taken_stays_in_the_jobs_folder(shelf, finished):
    out = shelf.default_output(finished.id)
    finished.delete(with_outputs=True)
    out.mkdir(parents=True)
    (out / "cat.safetensors").write_bytes(b"another")

    put_back(shelf, finished.id)

    assert (out / "cat.safetensors").read_bytes() == b"another"
    assert (finished.folder / "outputs" / "cat.safetensors").read_bytes() == b"weights"


def test_deleted_jobs_are_told_with_their_size_and_other_things_are_passed_over(shelf, finished):
    finished.delete()
    (shelf.trash / "presets").mkdir()
    (shelf.trash / "presets" / "mine.toml").write_text("")

    (job,) = trashed_jobs(shelf)

    assert (job.id, job.name) == (finished.id, "cat")
    assert job.created > 1e9
    assert job.bytes == sum(path.stat().st_size for path in (shelf.trash / job.id).rglob("*") if path.is_file())


def test_one_job_is_removed_for_good_and_files_of_others_stay(shelf, finished, submit):
    other = submit("other")
    other.withdraw()
    (finished.folder / "my notes.txt").write_text("mine")
    (other.folder / "host.json").write_text("{}")
    finished.delete()
    other.delete()

    assert remove_for_good(shelf, other.id)
    assert trashed(shelf) == [finished.id]
    assert not remove_for_good(shelf, finished.id)
    assert [path.name for path in (shelf.trash / finished.id).iterdir()] == ["my notes.txt"]
    for wrong in ("nothing", "../runs", finished.id):
        with pytest.raises(UsageError, match="not in the trash"):
            remove_for_good(shelf, wrong)


def test_a_job_that_is_there_again_is_not_written_over(shelf, finished):
    finished.delete()
    (shelf.runs / finished.id).mkdir()

    with pytest.raises(UsageError, match="there already"):
        put_back(shelf, finished.id)


def test_emptying_the_trash_removes_what_a_job_is_known_to_hold(shelf, finished, submit):
    (finished.folder / "dataset.toml").write_text("")
    (finished.folder / "prompts.txt").write_text("a cat\n")
    finished.delete(with_outputs=True)
    other = submit("other")
    other.withdraw()
    (other.folder / "my notes.txt").write_text("mine")
    (other.folder / "checkpoints").mkdir()
    (other.folder / "checkpoints" / "my model").mkdir()
    other.delete()

    assert empty_trash(shelf) == 1
    # What is left is no job any more.
    assert trashed(shelf) == []
    left = sorted(path.relative_to(shelf.trash / other.id).as_posix() for path in (shelf.trash / other.id).rglob("*"))
    assert left == ["checkpoints", "checkpoints/my model", "my notes.txt"]


def test_two_jobs_of_one_name_lie_in_the_trash_beside_each_other(shelf, finished):
    finished.delete()
    (shelf.runs / finished.id).mkdir()
    (shelf.runs / finished.id / "spec.json").write_text("{")

    place = shelf.get(finished.id).delete()

    assert place.name == f"{finished.id}-2"
    assert len(trashed(shelf)) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="the light trainer is a script")
def test_a_job_that_ran_is_deleted_with_what_it_wrote(shelf, program, submit):
    job = submit(max_train_steps=25)
    with dispatching(shelf, program):
        reaches(job, "completed")
        until(lambda: "delete" in job.actions())

    job.delete(with_outputs=True)

    assert empty_trash(shelf) == 1
    assert list(shelf.trash.iterdir()) == shelf.all() == []
    assert not shelf.default_output(job.id).exists()
