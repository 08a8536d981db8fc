"""The environments with the WebUIs' gradio are made once, and say why when they cannot be made."""

from __future__ import annotations

import subprocess

import pytest
from small_wheels import write_wheel
from tanren.webui_gradio import WebUIGradio, lines_of


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout whose lists name one tiny package, and one that does not exist."""
    folder = tmp_path / "tests" / "gradio_lines"
    folder.mkdir(parents=True)
    (folder / "gradio-3.41.2.txt").write_text("tiny-one==1.0\n", "utf-8")
    (folder / "gradio-4.40.0.txt").write_text("tiny-one==4.0\n", "utf-8")
    write_wheel(tmp_path, "tiny-one", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", tmp_path.as_uri())
    for line in lines_of(tmp_path):
        monkeypatch.delenv(line.variable, raising=False)
    return tmp_path


def made(root):
    said: list[str] = []
    return WebUIGradio(root, root / "kept", said.append).variables(), said


def test_each_is_made_once_and_what_cannot_be_made_says_why(root):
    variables, said = made(root)
    python = root / "kept" / "gradio-3.41.2" / "bin" / "python"
    assert variables["TANREN_GRADIO3_PYTHON"] == str(python)
    assert subprocess.run([str(python), "-c", "import tiny_one"], check=False).returncode == 0
    assert variables["TANREN_GRADIO4_PYTHON"].startswith("gradio-4.40.0 could not be installed: ERROR: ")
    assert len(said) == 2

    (root / "tests" / "gradio_lines" / "gradio-4.40.0.txt").unlink()
    again, said = made(root)
    assert (again, said) == ({"TANREN_GRADIO3_PYTHON": str(python)}, [])


def test_interpreters_that_are_named_already_are_used(root, monkeypatch):
    monkeypatch.setenv("TANREN_GRADIO3_PYTHON", "/a/python")
    monkeypatch.setenv("TANREN_GRADIO4_PYTHON", "/b/python")
    assert made(root) == ({}, [])
