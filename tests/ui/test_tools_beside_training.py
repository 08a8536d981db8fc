"""Tools with models leave the GPU to a training, however long ago its job was made."""

from __future__ import annotations

import pytest
from story_folder import story_folder
from tanren.errors import BusyError
from tanren.jobs.folder import ask
from tanren.jobs.shelf import Shelf
from tanren.locks import Lock
from tanren.ui.answers import Desk
from tanren.ui.data_answers import folders_of
from tanren.ui.data_change_answers import preview
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone


@pytest.fixture
def desk(tmp_path):
    folders_of.cache_clear()
    around = Standalone(tmp_path / "data")
    return Desk(around, Shelf(around.data_dir), Guard(around.access))


@pytest.fixture
def jobs(desk):
    """Many jobs, the oldest first."""
    made = [desk.shelf.submit("train_network", {}, name=f"{number}", request_id="") for number in range(30)]
    return sorted(made, key=lambda job: job.id)


@pytest.fixture
def draw(desk, tmp_path):
    """Ask what drawing would do; beside a training it is refused, because it would have to share the GPU."""
    folder = story_folder(tmp_path / "pictures")
    (tmp_path / "base.safetensors").touch()
    values = {"out": "reg", "class": "girl", "count": 2, "base": str(tmp_path / "base.safetensors")}
    return lambda: preview(desk, {"folder": str(folder), "tool": "class", "values": values})


def test_nothing_is_refused_while_jobs_only_wait(jobs, draw):
    assert draw()["count"] == 2


def test_a_training_is_seen_behind_many_newer_jobs(jobs, draw):
    with Lock(jobs[0].folder / "job.lock").acquire(what="job"):
        assert jobs[0].state == "running"
        with pytest.raises(BusyError, match="A training computes at this moment"):
            draw()


def test_a_training_that_stops_still_needs_its_memory(jobs, draw):
    with Lock(jobs[-1].folder / "job.lock").acquire(what="job"):
        ask(jobs[-1].folder, ["stop"], attempt=1)
        assert jobs[-1].state == "stopping"
        with pytest.raises(BusyError, match="A training computes at this moment"):
            draw()
