"""The doctor works wherever it is called and says plainly what stands in the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tanren import doctor
from tanren.doctor import Place, _gpus, _torch, ask_torch, examine
from tanren.hardware import Gpu

CARD = Gpu("Card", "580.1", 8192, 8000, (8, 6))
PLACE = Place(None, None, "python launch.py setup")
TORCH = {"version": "2.13.0", "cuda": "13.0", "architectures": ["sm_80", "sm_90"], "cpu_capability": "AVX2"}


def device(**changed):
    facts = {"name": "Card", "capability": [8, 6], "supported": True, "works": True, "bf16": True, "fp16": True}
    return {**facts, **changed}


def test_without_an_environment_it_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TANREN_VENV", str(tmp_path / "none"))
    assert doctor.main([], managed=True) == 0
    printed = capsys.readouterr().out
    assert f"{tmp_path / 'none'}: it was not made yet" in printed
    assert "`python launch.py setup` makes it" in printed
    assert not (tmp_path / "none").exists()


@pytest.mark.rule("flt-16")
def test_a_broken_environment_is_code_10_with_the_repairing_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "tanren-setup.json").write_text('{"state": "unfinished"}', "utf-8")
    monkeypatch.setenv("TANREN_VENV", str(tmp_path))
    assert doctor.main([], managed=True) == 10
    printed = capsys.readouterr().out
    assert "an earlier set-up was interrupted" in printed
    assert "`python launch.py setup` repairs it." in printed


def test_json_holds_the_facts(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TANREN_VENV", str(tmp_path / "none"))
    doctor.main(["--json"], managed=True)
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is True
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["memory"]["total"] > 0
    assert told["packages"]["lion-pytorch"] is None
    assert {finding["name"] for finding in told["findings"]} >= {"python", "environment", "gpu", "memory", "disk, data"}


def test_in_its_own_environment_it_asks_the_torch_that_is_there():
    findings, facts = examine(managed=False)
    assert facts["torch"]["version"].startswith("2.")
    assert any(finding.name == "bf16 / fp16" for finding in findings)
    assert not [finding.text for finding in findings if finding.state == "problem"]


@pytest.mark.rule("flt-16")
def test_a_python_without_torch_is_told_with_its_last_line(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    assert ask_torch(python) == {"error": "ModuleNotFoundError: No module named 'torch'"}
    (finding,) = _torch(ask_torch(python), PLACE)
    assert finding.state == "problem"
    assert finding.fix == "`python launch.py setup --repair`"


@pytest.mark.rule("flt-16")
@pytest.mark.parametrize(
    ("gpus", "torch", "text", "fix"),
    [
        ([CARD], {**TORCH, "cuda": None, "devices": []}, "but this torch is a CPU build", "installs cu130."),
        ([CARD], {**TORCH, "devices": []}, "but torch sees no device", "Check the driver"),
        ([CARD], {**TORCH, "devices": [device(supported=False)]}, "has no code for Card (8.6)", "sm_80 sm_90"),
        ([CARD], {**TORCH, "devices": [device(works=False)]}, "Card does not compute", "Restart"),
        ([Gpu("Old", "470.1", 1, 1, (8, 6))], {}, "Old, driver 470.1", "install driver 580 or newer"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_a_problem_with_its_fix(gpus, torch, text, fix):
    (problem,) = [finding for finding in _gpus(gpus, torch, PLACE) if finding.state == "problem"]
    assert text in problem.text
    assert fix in problem.fix


def test_a_gpu_in_torchs_list_is_fine():
    findings = list(_gpus([CARD], {**TORCH, "devices": [device()]}, PLACE))
    assert [finding.state for finding in findings] == ["ok", "ok"]
    assert findings[1].text == "Card: capability 8.6, in this torch's list (sm_80 sm_90)"


def test_the_data_folder_need_not_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "not" / "there"))
    findings, _ = examine(managed=False)
    (disk,) = [finding for finding in findings if finding.name == "disk, data"]
    assert str(Path(tmp_path, "not", "there")) in disk.text
