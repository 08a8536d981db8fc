"""launch.py: its sub-commands, in the shell a user has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tanren import launcher
from tanren.commands import COMMANDS, GENERATORS
from tanren.verification import find_browser

if sys.version_info >= (3, 11):
    import tomllib

ROOT = Path(__file__).parents[1]


def launch(*words: str, python: str = sys.executable, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, str(ROOT / "launch.py"), *words],
        env={**os.environ, "PYTHONUTF8": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_help_lists_every_command():
    done = launch("--help")
    assert done.returncode == 0
    for name in ("ui", "demo", "test", "setup", "doctor", "plan", "micro-model", "meta", *COMMANDS, *GENERATORS):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE), name


@pytest.mark.parametrize("words", [(), ("ui",)], ids=["no command", "ui"])
def test_the_page_that_others_could_open_needs_a_token_before_anything_is_installed(words, tmp_path):
    done = launch(*words, "--listen", TANREN_VENV=str(tmp_path / "none"))
    assert done.returncode == 2
    assert re.search(
        r"^  Copy this line: python launch\.py ui --listen --token [0-9a-f]{32}$", done.stderr, re.MULTILINE
    )
    assert not (tmp_path / "none").exists()


def test_without_a_command_the_page_opens_in_the_environment_of_its_own(tmp_path):
    # A folder that is not ours stops it at the last moment; nothing is downloaded.
    (tmp_path / "mine.txt").write_text("x", "utf-8")
    done = launch(TANREN_VENV=str(tmp_path))
    assert done.returncode == 10
    assert "was not made by Tanren" in done.stderr


def test_an_unknown_command_gets_the_nearest_name_and_code_2():
    done = launch("trian_network")
    assert done.returncode == 2
    assert done.stderr == "trian_network: There is no such command.\n  Did you mean train_network?\n"


def test_the_flags_of_a_trainer_are_shown_without_an_environment(tmp_path):
    done = launch("train_network", "--help", TANREN_VENV=str(tmp_path / "none"))
    assert done.returncode == 0
    assert "--network_dim" in done.stdout
    assert not (tmp_path / "none").exists()


def test_an_unknown_set_of_packages_is_refused_with_the_known_ones(tmp_path):
    done = launch("setup", "--with", "typo", TANREN_VENV=str(tmp_path / "none"))
    assert done.returncode == 2
    assert "Sets: optimizers, lycoris, wandb, tagging, test" in done.stderr


@pytest.mark.rule("flt-16")
def test_a_folder_that_is_not_ours_is_code_10_before_anything_runs(tmp_path):
    (tmp_path / "mine.txt").write_text("x", "utf-8")
    done = launch("train_network", TANREN_VENV=str(tmp_path))
    assert done.returncode == 10
    assert "was not made by Tanren" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_without_a_name_is_refused():
    assert launch("--data-dir").returncode == 2


def test_data_dir_reaches_the_children(tmp_path, monkeypatch):
    monkeypatch.delenv("TANREN_DATA", raising=False)
    monkeypatch.setenv("TANREN_DATA", "before")
    start, words = launcher._options_in_front(["--data-dir", str(tmp_path), "--yes", "demo"], managed=True)
    assert (start.yes, words) == (True, ["demo"])
    assert os.environ["TANREN_DATA"] == str(tmp_path)


@pytest.mark.rule("flt-16")
def test_an_old_python_gets_one_sentence_with_the_fix():
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    old = [shutil.which(f"python3.{minor}") for minor in (9, 8, 7)]
    old += [str(path) for path in versions.glob("3.[6789].*/bin/python")]
    working = [python for python in old if python and not subprocess.run([python, "-c", ""], check=False).returncode]
    if not working:
        pytest.skip("no Python older than 3.10 here")
    done = launch("demo", python=working[0])
    assert done.returncode == 10
    assert re.fullmatch(
        r"Tanren needs Python 3\.10 to 3\.13, this is 3\.\d: .+`python3\.11 launch\.py`\.\n", done.stderr
    )


def test_the_installed_script_needs_no_setup(capsys):
    assert launcher.main(["setup"], managed=False) == 0
    assert "nothing to set up" in capsys.readouterr().out


def test_a_browser_can_be_named(monkeypatch):
    monkeypatch.setenv("TANREN_BROWSER", sys.executable)
    assert find_browser() == sys.executable
    monkeypatch.setenv("TANREN_BROWSER", "not-a-browser")
    assert find_browser() is None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads pyproject.toml with tomllib")
def test_pins_and_ranges_name_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ranges = {"trainer": project["dependencies"], **project["optional-dependencies"]}
    pins = launcher._pins()
    assert [*ranges, "needed by these"] == list(pins.sections)
    for section, requirements in ranges.items():
        assert sorted(re.split("[<>=]", item)[0] for item in requirements) == pins.names([section])


def test_pins_name_every_package_once_for_each_python():
    pins = launcher._pins()
    for python in ((3, 10), (3, 11), (3, 12), (3, 13)):
        every = [pin for section in pins.sections.values() for pin in section if pin.low <= python < pin.high]
        assert len(every) == len({pin.name for pin in every})
        assert pins.versions(["trainer"], python)["torch"] == "2.13.0"


@pytest.mark.proof
@pytest.mark.skipif(sys.version_info < (3, 11), reason="the tool reads pyproject.toml with tomllib")
def test_the_pins_can_be_installed_on_every_supported_python():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "pins.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" packages\n") == 4


@pytest.mark.parametrize("command", ["ui", "demo", "micro-model", "setup", "doctor", "test", "plan", "meta"])
def test_help_of_a_command_needs_no_environment(command, tmp_path):
    words = ["train_network", "--help"] if command == "plan" else ["--help"]
    done = launch(command, *words, TANREN_VENV=str(tmp_path / "none"))
    assert done.returncode == 0
    assert "usage: " in done.stdout.lower()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", sorted((*COMMANDS, *GENERATORS)))
def test_help_of_a_trainer_or_painter_needs_no_package_at_all(command):
    program = [sys.executable, "-S", str(ROOT / "launch.py"), command, "--help"]
    done = subprocess.run(program, capture_output=True, encoding="utf-8", check=False)

    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


@pytest.mark.rule("flt-16")
def test_a_broken_package_is_code_10_with_the_repairing_command():
    program = (
        "import sys; sys.modules['diffusers'] = None\n"
        "from tanren.entry import import_part\nfrom tanren.errors import UserError\n"
        "try:\n    import_part('.families.sd')\nexcept UserError as problem:\n    print(problem.code, problem)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("10 The packages the trainer needs cannot be imported.\n"), done.stderr
    assert "`python launch.py setup --repair`" in done.stdout
