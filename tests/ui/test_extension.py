"""Tanren as an extension: loaded as A1111 and Forge load extensions, beside others that use the same names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gradio_pythons import python_of

ROOT = Path(__file__).parents[2]
HOST = ROOT / "tests" / "ui" / "host_stand_in" / "extension_host.py"
FLAVOURS = ("a1111", "forge")
GRADIO_LINE = {"a1111": 3, "forge": 4}
OTHER_SCRIPT = """\
from modules import script_callbacks
from trainer import engine


def settings():
    from trainer import late
    from trainer.deeper import core
    assert (engine.OWNER, late.OWNER, core.OWNER) == ("other", "other", "other")
    engine.ANSWERS.append("works")


script_callbacks.on_ui_settings(settings)
"""


@pytest.fixture
def root(tmp_path):
    """A WebUI's folder with Tanren in it, as a link to the checkout."""
    (tmp_path / "extensions").mkdir()
    (tmp_path / "extensions" / "tanren").symlink_to(ROOT)
    return tmp_path


def run(flavour, root, *steps, python=sys.executable, flags=None, options=None):
    """What the stand-in saw at each step, and what it printed on its console."""
    wish = {"flavour": flavour, "root": str(root), "steps": steps, "options": options or {}}
    wish["flags"] = {"tanren_data_dir": str(root / "data"), "tanren_venv": str(root / "venv"), **(flags or {})}
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TANREN_VENV")}
    done = subprocess.run(
        [python, str(HOST), json.dumps(wish)],
        env={**variables, "PYTHONUTF8": "1", "GRADIO_ANALYTICS_ENABLED": "False"},
        cwd=root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


def copied(root):
    """The parts of the checkout that the WebUI runs, in a folder that a test may change."""
    folder = root / "extensions" / "tanren"
    folder.unlink()
    leave_out = shutil.ignore_patterns("assets", "__pycache__")
    shutil.copytree(ROOT / "trainer" / "tanren", folder / "trainer" / "tanren", ignore=leave_out)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    shutil.copyfile(ROOT / "pins.txt", folder / "pins.txt")
    return folder


def other_extension(root, name, *, is_package):
    """An extension with a top-level `trainer` of its own."""
    trainer = root / "extensions" / name / "trainer"
    (trainer / "deeper").mkdir(parents=True)
    if is_package:
        (trainer / "__init__.py").touch()
    (trainer / "engine.py").write_text('OWNER, ANSWERS = "other", []\n', "utf-8")
    (trainer / "late.py").write_text('OWNER = "other"\n', "utf-8")
    (trainer / "deeper" / "core.py").write_text("from .. import late\nOWNER = late.OWNER\n", "utf-8")
    scripts = root / "extensions" / name / "scripts"
    scripts.mkdir()
    (scripts / f"{name}.py").write_text(OTHER_SCRIPT, "utf-8")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_loading_leaves_no_trace_but_one_name(flavour, root):
    (seen,), _ = run(flavour, root, "load")
    assert seen["errors"] == []
    assert {name.split(".")[0] for name in seen["parts"]} == {"tanren_extension"}
    # Forge itself leaves each extension's folder there; we add nothing to that.
    ours = [path for path in seen["path"] if "tanren" in Path(path).parts or str(ROOT / "trainer") in path]
    assert ours == ([str(root / "extensions" / "tanren")] if flavour == "forge" else [])
    assert not seen["gradio"] and not seen["heavy"]
    assert seen["registered"] == {
        **{"before_ui": 0, "ui_settings": 1, "ui_tabs": 1},
        **{"app_started": 1, "script_unloaded": 1},
    }


@pytest.mark.parametrize("is_package", [True, False], ids=["package", "plain folder"])
@pytest.mark.parametrize("name", ["aaa_other", "zzz_other"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_another_extension_with_a_trainer_of_its_own_goes_on_working(flavour, name, is_package, root):
    other_extension(root, name, is_package=is_package)
    asked = "import trainer.engine as engine, tanren_extension\nfound = [engine.ANSWERS, tanren_extension.__name__]"
    steps = ["load", "unload", "load", "unload", "load", ["run", asked]]
    facts, _ = run(flavour, root, *steps)
    assert facts[-2]["errors"] == []
    assert facts[-2]["registered"]["ui_tabs"] == 1
    assert facts[-1]["found"] == [["works"] * 3, "tanren_extension"]


def test_reload_ui_runs_the_new_code(root):
    folder = copied(root)
    change = (
        "from pathlib import Path\npath = Path({path!r})\n"
        "path.write_text(path.read_text('utf-8').replace({old!r}, {new!r}), 'utf-8')"
    )
    init = folder / "trainer" / "tanren" / "__init__.py"
    settings = folder / "trainer" / "tanren" / "ui" / "settings.py"
    steps = [
        "load",
        ["run", change.format(path=str(init), old="__version__ = ", new='__version__ = "9." + ')],
        ["run", change.format(path=str(settings), old="Folder of the trainer's", new="New folder of the trainer's")],
        "unload",
        "load",
    ]
    facts, _ = run("a1111", root, *steps)
    assert facts[-1]["version"] == "9." + facts[0]["version"]
    assert facts[-1]["settings"]["tanren_environment_folder"].startswith("New folder of the trainer's")


def test_a_load_that_fails_leaves_the_webui_and_its_other_extensions_alone(root):
    folder = copied(root)
    other_extension(root, "zzz_other", is_package=True)
    (folder / "trainer" / "tanren" / "ui" / "settings.py").write_text("raise RuntimeError('half an update')\n", "utf-8")
    (seen,), _ = run("forge", root, "load")
    assert len(seen["errors"]) == 1 and "half an update" in seen["errors"][0]
    assert seen["parts"] == []
    assert seen["registered"]["ui_settings"] == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_tab_is_there_works_and_comes_back_after_reload_ui(flavour, root):
    secret = root / "data" / "runs" / "a" / "log.txt"
    secret.parent.mkdir(parents=True)
    secret.write_text("secret", "utf-8")
    ask = [["get", "/tanren/api/state"], ["get", f"/file={secret}"], ["get", "/config"]]
    steps = ["load", "tabs", "serve", *ask, "unload", "load", "tabs", "serve", *ask]
    facts, console = run(flavour, root, *steps, python=python_of(GRADIO_LINE[flavour]))
    for state, file, config in (facts[3:6], facts[10:13]):
        assert state["status"] == 200 and json.loads(state["text"])["surroundings"] == flavour
        assert json.loads(state["text"])["environment"]["folder"] == str(root / "venv")
        assert file["status"] == 403
        assert "tanren-form" in config["text"]
    assert facts[9]["tabs"] == [["Tanren", "tanren"]]
    assert facts[9]["errors"] == [] and facts[9]["heavy"] == []
    assert "Traceback" not in console


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_fault_costs_our_tab_only_and_the_console_says_so(flavour, root):
    folder = copied(root)
    (folder / "trainer" / "tanren" / "ui" / "app.py").write_text("def build(context):\n    return 1 / 0\n", "utf-8")
    facts, console = run(flavour, root, "load", "tabs", "serve", python=python_of(GRADIO_LINE[flavour]))
    assert facts[-1]["errors"] == [] and facts[-1]["tabs"] == []
    assert "Tanren: The tab could not be made, because of a fault in Tanren. Please report this:" in console
    assert "ZeroDivisionError" in console


def test_a_problem_of_the_users_is_one_sentence_without_traceback(root):
    flags = {"tanren_data_dir": "https://example.org/data"}
    facts, console = run("a1111", root, "load", "tabs", flags=flags, python=python_of(3))
    assert facts[-1]["tabs"] == []
    assert "Tanren: The tab could not be made: " in console and "it is an address, not a path" in console
    assert "Traceback" not in console


@pytest.mark.parametrize(("options", "is_paused"), [({}, True), ({"tanren_start_queue": True}, False)])
def test_waiting_trainings_start_by_themselves_only_when_the_settings_say_so(options, is_paused, root):
    job = (
        "import sys\nfrom pathlib import Path\nfrom tanren_extension.jobs.shelf import Shelf\n"
        f"shelf = Shelf(Path({str(root / 'data')!r}))\n"
        "shelf.submit('train_network', {'output_name': 'x'}, name='x', request_id='1')\n"
        "found = True"
    )
    steps = ["load", ["run", job], "tabs", "serve", ["get", "/tanren/api/state"]]
    facts, _ = run("a1111", root, *steps, options=options, python=python_of(3))
    assert json.loads(facts[-1]["text"])["queue"]["is_paused"] is is_paused


def test_there_is_one_script_and_no_package_beside_it():
    assert [path.name for path in (ROOT / "scripts").glob("*.py")] == ["tanren_tab.py"]
    assert not (ROOT / "scripts" / "__init__.py").exists()
