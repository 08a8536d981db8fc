"""The trainer's environment is made, kept, completed and repaired; with real interpreters and two tiny packages."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_wheels import write_wheel
from tanren import environment_setup
from tanren.child_process import child_environment
from tanren.environment import Environment, managed_environment, packages_folder, status
from tanren.environment_setup import check_interpreter, ensure
from tanren.errors import EnvironmentProblem
from tanren.pins import Pin, read_pins

ROOT = Path(__file__).parents[1]
PIN_TEXT = """\
# Exact versions.

# [trainer]
tiny-one=={one}

# [more]
tiny-two==1.0

# [needed by these]
"""
SETUP = """
import sys
from pathlib import Path
from tanren.environment import Environment
from tanren.environment_setup import ensure
from tanren.pins import read_pins
ensure(Environment(Path(sys.argv[1])), read_pins(Path(sys.argv[2])), agree=lambda plan: True)
"""


def write_pins(folder: Path, one: str = "1.0") -> Path:
    path = folder / f"pins {one}.txt"
    path.write_text(PIN_TEXT.format(one=one), "utf-8")
    return path


def yes(plan: str) -> bool:
    return True


def quiet(line: str) -> None:
    pass


def version_in(environment: Environment, module: str) -> str:
    command = [str(environment.python), "-c", f"import {module}; print({module}.version)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder of wheels, pip pointed at it and at nothing else, and one finished environment to copy."""
    folder = tmp_path_factory.mktemp("学習 データ")
    for name, version in (("tiny-one", "1.0"), ("tiny-one", "2.0"), ("tiny-two", "1.0")):
        write_wheel(folder, name, version)
    before = {name: os.environ.get(name) for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS")}
    os.environ.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=folder.as_uri())
    made = Environment(folder / "made")
    ensure(made, read_pins(write_pins(folder)), agree=yes, say=quiet)
    yield folder
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture
def ready(shop, tmp_path):
    """A finished environment of its own."""
    folder = tmp_path / "鍛錬 venv"
    shutil.copytree(shop / "made", folder, symlinks=True)
    return Environment(folder)


@pytest.fixture
def pins(shop):
    return read_pins(shop / "pins 1.0.txt")


def test_a_made_environment_is_ready_and_holds_the_packages(ready, pins):
    assert status(ready, pins).state == "ready"
    assert version_in(ready, "tiny_one") == "1.0"
    assert json.loads(ready.marker.read_text("utf-8"))["packages"] == {"tiny_one": "1.0"}


def test_a_second_start_runs_nothing_and_asks_nobody(ready, pins, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("nothing may be started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    assert ensure(ready, pins, agree=refuse).state == "ready"


@pytest.mark.rule("flt-16")
def test_a_killed_setup_begins_anew_at_the_next_start(shop, tmp_path):
    environment, pin_file = Environment(tmp_path / "venv"), shop / "pins 1.0.txt"
    command = [sys.executable, "-c", SETUP, str(environment.folder), str(pin_file)]
    child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT / "trainer")}, start_new_session=True)
    deadline = time.monotonic() + 240
    while not environment.python.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert status(environment, read_pins(pin_file)).state == "unfinished"

    assert ensure(environment, read_pins(pin_file), agree=yes, say=quiet).state == "ready"
    assert version_in(environment, "tiny_one") == "1.0"


@pytest.mark.rule("flt-16")
def test_a_package_that_was_torn_away_is_seen_and_repaired(ready, pins):
    shutil.rmtree(packages_folder(ready) / "tiny_one-1.0.dist-info")
    assert status(ready, pins).why == "tiny_one 1.0 is missing or was replaced by another version"

    assert ensure(ready, pins, agree=yes, say=quiet).state == "ready"
    assert version_in(ready, "tiny_one") == "1.0"


@pytest.mark.rule("flt-16")
def test_a_python_that_is_gone_is_seen(ready, pins):
    ready.python.unlink()
    assert status(ready, pins).state == "broken"
    assert status(ready, pins).why == "its Python is gone"


def test_new_pins_are_installed_into_what_is_there(ready, shop):
    newer = read_pins(write_pins(shop, "2.0"))
    kept = ready.folder / "kept.txt"
    kept.write_text("mine", "utf-8")
    assert status(ready, newer).state == "outdated"

    assert ensure(ready, newer, agree=yes, say=quiet).state == "ready"
    assert version_in(ready, "tiny_one") == "2.0"
    assert kept.exists()


def test_an_update_that_cannot_be_downloaded_leaves_what_is_there(ready, pins, shop):
    with pytest.raises(EnvironmentProblem, match="could not be installed"):
        ensure(ready, read_pins(write_pins(shop, "3.0")), agree=yes, say=quiet)

    assert status(ready, pins).state == "ready"
    assert version_in(ready, "tiny_one") == "1.0"


def test_a_section_is_added_once_and_stays(ready, pins):
    assert status(ready, pins, ("trainer", "more")).why == "packages are still missing for: more"

    ensure(ready, pins, ["more"], agree=yes, say=quiet)
    assert version_in(ready, "tiny_two") == "1.0"
    assert status(ready, pins).sections == ("trainer", "more")


def test_somebody_elses_folder_is_left_alone(pins, tmp_path):
    other = tmp_path / "venv" / "lib"
    other.mkdir(parents=True)
    with pytest.raises(EnvironmentProblem, match="was not made by Tanren"):
        ensure(Environment(tmp_path / "venv"), pins, agree=yes, say=quiet)
    assert other.exists()


def test_a_no_installs_nothing(pins, tmp_path):
    shown = []
    with pytest.raises(EnvironmentProblem, match=r"Nothing was installed\."):
        ensure(Environment(tmp_path / "venv"), pins, agree=lambda plan: bool(shown.append(plan)), say=quiet)
    assert str(tmp_path / "venv") in shown[0]
    assert "to download" in shown[0]
    assert [item.name for item in (tmp_path / "venv").iterdir()] == ["tanren-setup.lock"]


def test_two_starts_at_once_make_one_environment(shop, tmp_path):
    command = [sys.executable, "-c", SETUP, str(tmp_path / "venv"), str(shop / "pins 1.0.txt")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    starts = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, encoding="utf-8", text=True)
        for _ in range(2)
    ]
    said = "".join(start.communicate()[0] for start in starts)
    assert [start.returncode for start in starts] == [0, 0]
    assert said.count("Making ") == 1


@pytest.mark.rule("flt-16")
@pytest.mark.parametrize("version", [(3, 9), (3, 14)])
def test_a_python_the_pins_do_not_know_is_refused_in_one_sentence(version, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    with pytest.raises(EnvironmentProblem) as caught:
        check_interpreter()
    assert caught.value.what == f"The trainer runs on Python 3.10 to 3.13, this is {version[0]}.{version[1]}."
    assert "python3.11 launch.py" in caught.value.fix


def test_a_python_without_ensurepip_is_refused_with_the_package_to_install(monkeypatch):
    find_spec = environment_setup.importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else find_spec(name))
    with pytest.raises(EnvironmentProblem, match="its ensurepip module is missing") as caught:
        check_interpreter()
    assert re.search(r"sudo apt install python3\.\d+-venv", caught.value.fix)


def test_another_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TANREN_VENV", str(tmp_path / "elsewhere"))
    assert managed_environment().folder == tmp_path / "elsewhere"


def test_pins_know_which_python_they_are_for(tmp_path):
    path = tmp_path / "pins.txt"
    path.write_text('# [trainer]\na==1 ; python_version < "3.11"\na==2 ; python_version >= "3.11"\nb==3\n', "utf-8")
    pins = read_pins(path)
    assert pins.sections["trainer"][0] == Pin("a", "1", (0, 0), (3, 11))
    assert pins.versions(["trainer"], (3, 10)) == {"a": "1", "b": "3"}
    assert pins.versions(["trainer"], (3, 13)) == {"a": "2", "b": "3"}
    assert pins.names(["trainer"]) == ["a", "b"]


def test_children_get_what_they_need_and_nothing_that_bends_them():
    given = {"PATH": "/bin", "PYTHONPATH": "/host", "PIP_TARGET": "/host", "SECRET": "x", "CUDA_VISIBLE_DEVICES": "1"}
    assert child_environment({**given, "https_proxy": "p"}, ADDED="yes") == {
        "PATH": "/bin",
        "CUDA_VISIBLE_DEVICES": "1",
        "https_proxy": "p",
        "PYTHONUTF8": "1",
        "PIP_USER": "0",
        "ADDED": "yes",
    }
