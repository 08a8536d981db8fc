"""What a WebUI runs of ours at its start besides the script: install.py and preload.py."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tanren import __version__

ROOT = Path(__file__).parents[2]


def preload(parser):
    spec = importlib.util.spec_from_file_location("preload", ROOT / "preload.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.preload(parser)
    return parser


def test_install_prints_one_line_and_starts_nothing(tmp_path):
    audit = (
        "import sys, runpy\n"
        "refused = ('subprocess.Popen', 'os.system', 'socket.connect', 'os.mkdir', 'os.remove')\n"
        "def hook(event, arguments):\n"
        "    assert event not in refused, event\n"
        "    assert event != 'open' or not set('wax+') & set(str(arguments[1] or 'r')), arguments\n"
        f"sys.path[0] = {str(ROOT)!r}\nsys.dont_write_bytecode = True\nsys.addaudithook(hook)\n"
        f"runpy.run_path({str(ROOT / 'install.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", audit], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Tanren {__version__}: nothing installed; its trainer has an environment of its own.\n"


def test_install_takes_well_under_a_second(tmp_path):
    def seconds(*words):
        started = time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, check=True)
        return time.perf_counter() - started

    # The machine that runs the tests may be busy with others now and then.
    assert any(seconds(str(ROOT / "install.py")) - seconds("-c", "") < 0.8 for _ in range(10))


def test_every_flag_has_our_prefix_and_needs_no_value_to_be_there():
    flags = vars(preload(argparse.ArgumentParser()).parse_args([]))
    assert flags == {
        **{"tanren_data_dir": None, "tanren_venv": None, "tanren_allow_dir": None},
        **{"tanren_allow_remote": False, "tanren_public": False},
    }


def test_folders_can_be_allowed_several_times():
    words = ["--tanren-allow-dir", "/a", "--tanren-allow-dir", "/b", "--tanren-allow-remote"]
    chosen = preload(argparse.ArgumentParser()).parse_args(words)
    assert (chosen.tanren_allow_dir, chosen.tanren_allow_remote) == (["/a", "/b"], True)


def test_a_flag_another_extension_has_taken_raises_so_that_the_webui_goes_on_without_ours():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tanren-venv")
    with pytest.raises(argparse.ArgumentError):
        preload(parser)
