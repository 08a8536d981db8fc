"""Pythons that environments can be made with are found, and asked before they are trusted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tanren import interpreters
from tanren.errors import EnvironmentProblem
from tanren.interpreters import base_interpreter, find_interpreter, probe_version


def a_python(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\n{says}\n", "utf-8")
    path.chmod(0o755)
    return path


def test_the_python_that_asks_comes_first():
    assert find_interpreter() == base_interpreter()
    assert probe_version(find_interpreter()) == sys.version_info[:2]


@pytest.mark.skipif(sys.platform == "win32", reason="stands in for Pythons by shell scripts")
def test_shims_and_versions_that_do_not_fit_are_passed_over(tmp_path, monkeypatch):
    tried = [
        a_python(tmp_path / "shim", "echo not installed >&2; exit 127"),
        a_python(tmp_path / "old", "echo 3 9"),
        a_python(tmp_path / "new", "echo 3 14"),
        a_python(tmp_path / "good", "echo 3 12"),
        tmp_path / "gone",
    ]
    monkeypatch.setattr(interpreters, "is_fitting_here", lambda: False)
    monkeypatch.setattr(interpreters, "candidates", lambda: iter(tried))
    assert find_interpreter() == tmp_path / "good"


@pytest.mark.rule("flt-16")
def test_without_any_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(interpreters, "is_fitting_here", lambda: False)
    monkeypatch.setattr(interpreters, "candidates", lambda: iter([]))
    with pytest.raises(EnvironmentProblem, match=r"Python 3\.10 to 3\.13|No Python was found") as caught:
        find_interpreter()
    assert "Install Python 3.11 from python.org" in caught.value.fix
