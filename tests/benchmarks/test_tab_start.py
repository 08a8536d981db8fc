"""The tab may cost a WebUI's start half a second beyond gradio; twice that fails here, since machines may be busy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "tab_start.py"


def test_importing_and_building_the_tab_is_quick():
    pytest.importorskip("gradio")
    words = [sys.executable, str(SCRIPT), "--runs", "3", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["tabs"][0]["cpu"] < 1.0
    assert result["install"] < 0.5
