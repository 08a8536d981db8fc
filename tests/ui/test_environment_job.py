"""The trainer's environment, made, watched, cancelled and repaired from the page; real interpreters, tiny packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_wheels import serving
from tanren.environment import Environment
from tanren.errors import BusyError, EnvironmentProblem, UsageError
from tanren.jobs.ending import processes_of
from tanren.jobs.shelf import Shelf
from tanren.locks import Lock
from tanren.pins import read_pins
from tanren.ui import data_needs
from tanren.ui.access import Access
from tanren.ui.answers import Desk
from tanren.ui.environment_job import TrainerSetup
from tanren.ui.guard import Guard, Refused
from tanren.ui.host_standalone import Standalone
from ui.small_checkout import make_checkout, only_from

ROOT = Path(__file__).parents[2]
PUBLIC = Access(is_public=True, why="--listen is set", opt_in="Start the WebUI with --tanren-allow-remote.")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with packages that are quickly installed."""
    return make_checkout(tmp_path_factory.mktemp("鍛錬 checkout"))


@pytest.fixture
def index(checkout, monkeypatch):
    with serving(checkout / "wheels") as index:
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in only_from(index).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("tanren.hardware.PYTORCH_INDEX", "http://127.0.0.1:9/")
        yield index


@pytest.fixture
def venv(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_VENV", str(tmp_path / "venv"))
    return Environment(tmp_path / "venv")


@pytest.fixture
def setup(checkout, venv, tmp_path):
    made = TrainerSetup(Standalone(tmp_path / "data"), checkout)
    yield made
    if made.status()["busy"]:
        made.cancel()


def wait_until(setup, wanted, seconds=180):
    """The first status for which `wanted` holds."""
    until = time.monotonic() + seconds
    while not wanted(status := setup.status()):
        assert time.monotonic() < until, status
        time.sleep(0.05)
    return status


@contextmanager
def hidden(path):
    """Without this file for a while."""
    aside = path.with_suffix(".aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def at_rest(status):
    return not status["busy"]


def test_before_anything_is_installed_the_page_can_say_what_and_how_large(setup, venv):
    status = setup.status()
    assert (status["state"], status["why"], status["busy"]) == ("missing", "it was not made yet", False)
    plan = status["plan"]
    assert plan["download"] > 10**8 and plan["on_disk"] > plan["download"] and plan["free"] > 0
    assert plan["folder"] == status["folder"] == str(venv.folder)
    assert not venv.folder.exists()


@pytest.mark.rule("flt-16")
def test_without_an_environment_no_trainer_is_started_and_the_repair_is_named(setup):
    with pytest.raises(EnvironmentProblem) as caught:
        setup.python()
    assert caught.value.code == 10
    assert "`python launch.py setup --repair`" in caught.value.fix


def test_a_set_up_outlives_the_ui_that_started_it_and_is_watched_by_the_next(setup, index, checkout, venv):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom tanren.ui.environment_job import TrainerSetup\n"
        "from tanren.ui.host_standalone import Standalone\n"
        "TrainerSetup(Standalone(), Path(sys.argv[1])).setup()\nos._exit(9)"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "trainer")}
    index.goes_on.clear()
    assert subprocess.run([sys.executable, "-c", code, str(checkout)], env=variables, check=False).returncode == 9
    assert index.halfway.wait(120)

    status = wait_until(setup, lambda status: status["progress"] and status["progress"]["bytes"] > 250_000)
    assert status["busy"] and status["state"] == "busy"
    assert status["progress"]["package"] == "tiny-one"
    assert (status["progress"]["phase"], status["progress"]["bytes"] < 600_000) == ("download", True)
    assert status["doing"].startswith("Downloading tiny-one: 0.00 GB so far, of up to ")
    setup.setup()  # A second click changes nothing.
    index.goes_on.set()

    status = wait_until(setup, at_rest)
    assert (status["state"], status["problem"]) == ("ready", None)
    assert setup.python() == venv.python
    assert sorted(path.name for path in venv.folder.glob(".tn-*")) == []


def test_cancelling_ends_everything_that_was_started(setup, index, venv):
    index.goes_on.clear()
    setup.setup()
    assert index.halfway.wait(120)
    nonce = json.loads((venv.folder / "tanren-setup-run.json").read_text("utf-8"))["nonce"]
    assert len(processes_of(nonce)) >= 2

    setup.cancel()

    assert processes_of(nonce) == []
    status = setup.status()
    assert (status["state"], status["busy"], status["problem"]) == ("unfinished", False, None)
    assert status["plan"]["is_fresh"]
    assert list(venv.folder.glob(".tn-*")) == []


@pytest.mark.rule("flt-16")
def test_a_damaged_environment_is_made_anew_and_a_failure_on_the_way_says_why(setup, index, checkout, venv):
    venv.folder.mkdir()
    said = {"state": "ready", "pins": read_pins(checkout / "pins.txt").hash, "sections": ["trainer"], "packages": {}}
    venv.marker.write_text(json.dumps(said), "utf-8")
    (venv.folder / "left over").touch()
    assert (setup.status()["state"], setup.status()["why"]) == ("broken", "its Python is gone")

    with hidden(checkout / "wheels" / "tiny_two-1.0-py3-none-any.whl"):
        setup.repair()
        assert setup.status()["busy"]
        status = wait_until(setup, at_rest)

    assert not (venv.folder / "left over").exists()
    problem = status["problem"]
    assert (status["state"], problem["code"]) == ("unfinished", 10)
    assert problem["what"] == "The set-up did not come to its end: The packages could not be installed."
    assert "tiny-two" in problem["why"]
    assert any(line.startswith("ERROR: ") and "tiny-two" in line for line in status["lines"])


def test_a_set_up_in_a_terminal_is_shown_and_not_touched(setup, venv):
    venv.folder.mkdir()
    with Lock(venv.folder / "tanren-setup.lock").acquire(what="The set-up"):
        assert setup.status()["busy"]
        with pytest.raises(BusyError, match="was started in a terminal"):
            setup.cancel()


def test_where_others_can_reach_the_page_nothing_is_installed_and_no_path_is_shown(checkout, venv, tmp_path):
    setup = TrainerSetup(Standalone(tmp_path / "data", PUBLIC), checkout)
    for action in (setup.setup, setup.repair, setup.cancel):
        with pytest.raises(Refused, match="starts, changes and deletes nothing"):
            action()
    assert str(tmp_path) not in json.dumps(setup.status())
    assert not venv.folder.exists()


def test_a_folder_from_the_settings_is_not_read_where_others_can_reach_them(checkout, venv, tmp_path):
    other = tmp_path / "other"
    agreed = Access(is_public=True, is_opted_in=True, why="--listen is set")
    setup = TrainerSetup(Standalone(tmp_path, agreed, settings={"environment_folder": str(other)}), checkout)
    assert setup.folder == venv.folder
    local = TrainerSetup(Standalone(tmp_path, settings={"environment_folder": str(other)}), checkout)
    assert local.folder == other


def test_a_python_is_needed_to_begin_with(setup, monkeypatch):
    monkeypatch.setattr("tanren.interpreters.is_fitting_here", lambda: False)
    monkeypatch.setattr("tanren.interpreters.candidates", lambda: iter([]))
    status = setup.status()
    assert status["plan"] is None
    assert status["problem"]["what"] == "No Python was found that the trainer's environment can be made with."
    assert "python.org" in status["problem"]["fix"]


def test_further_packages_are_added_from_the_tab_of_pictures_whether_there_is_an_environment_or_not(
    setup, index, checkout, tmp_path
):
    index.goes_on.set()
    around = Standalone(tmp_path / "data")
    desk = Desk(around, Shelf(around.data_dir), Guard(around.access), setup=setup)
    assert (data_needs.needs(desk)["lacks"], data_needs.needs(desk)["can_install"]) == (["trainer", "tagging"], True)
    assert data_needs.trainer_python(desk) is None
    setup.setup()
    wait_until(setup, at_rest)
    assert data_needs.needs(desk)["lacks"] == ["tagging"]

    with hidden(checkout / "wheels" / "onnxruntime-1.0-py3-none-any.whl"):
        data_needs.change(desk, {"action": "install"})
        status = wait_until(setup, at_rest)
    # The trainer stays as it was; the page says what did not work.
    assert (status["state"], setup.python().is_file()) == ("ready", True)
    assert status["problem"]["what"].startswith("The set-up did not come to its end: ")
    assert data_needs.needs(desk)["lacks"] == ["tagging"]

    assert data_needs.change(desk, {"action": "install"})["environment"]["busy"]
    status = wait_until(setup, at_rest)
    assert (status["state"], status["problem"], data_needs.needs(desk)["lacks"]) == ("ready", None, [])
    # A later update of the trainer keeps them.
    assert setup.has("tagging")
    with pytest.raises(UsageError, match="There is no such action"):
        data_needs.change(desk, {"action": "burn"})
