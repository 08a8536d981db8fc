"""The whole page, built by each gradio line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from gradio_pythons import LINES, python_of

ROOT = Path(__file__).parents[2]
PROBE = ROOT / "tests" / "ui" / "lines_probe.py"
# Beyond gradio itself the page may take half a second of a free core; a busy machine gets twice that.
# About half a second of a quiet core; whoever reads models or folders meanwhile needs far longer.
CPU_SECONDS = 5.0
NEEDED = {
    *("tanren-top", "tanren-tab-train", "tanren-tab-jobs", "tanren-tab-environment", "tanren-form", "tanren-plan"),
    *("tanren-start", "tanren-check", "tanren-request", "tanren-outcome", "tanren-view", "tanren-search"),
    *("tanren-field-network_dim", "tanren-field-pictures", "tanren-field-output_name", "tanren-jobs"),
}


@pytest.fixture(scope="module", params=LINES)
def built(request, tmp_path_factory):
    data = tmp_path_factory.mktemp("page") / "data"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    command = [python_of(request.param), str(PROBE), str(data)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return {**json.loads(run.stdout.splitlines()[-1]), "wanted": request.param}


def test_every_line_builds_the_page_without_a_warning(built):
    assert built["line"] == built["wanted"]


def test_building_reads_no_model_and_writes_nothing(built):
    assert built["heavy"] == []
    assert not built["made"]


def test_the_page_is_there_in_time(built):
    assert built["seconds"] < CPU_SECONDS


def test_all_parts_that_the_script_looks_for_are_there_once(built):
    ids = built["ids"]
    assert set(ids) >= NEEDED
    assert len(ids) == len(set(ids))


def test_no_value_of_ours_goes_into_ui_config(built):
    assert built["kept_out"]


def test_no_event_waits_in_the_queue_or_is_an_api_of_its_own(built):
    assert set(built["queued"]) == {False}
    assert built["named"] == [] or built["visibility"] == ["private"]


def test_exports_are_copied_and_downloaded_by_the_browser(built):
    assert [name for name in ("chooseSettings", "copy", "download") if name in " ".join(built["scripts"])] == [
        "chooseSettings",
        "copy",
        "download",
    ]
