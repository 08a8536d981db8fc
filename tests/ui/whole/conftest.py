"""A browser, and the page in every gradio line with a folder of pictures to train on."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from ui.conftest import PATIENCE as USUAL_PATIENCE
from ui.whole.driver import PATIENCE, Visit
from ui.whole.pictures import draw_pictures
from ui.whole.running import Surroundings


@pytest.fixture(autouse=True)
def patience():
    """Expectations wait longer here than elsewhere."""
    expect.set_options(timeout=PATIENCE)
    yield
    expect.set_options(timeout=USUAL_PATIENCE)


@pytest.fixture
def surroundings(request, tmp_path):
    """The program with the line of gradio that the test asks for; nothing of it is left afterwards."""
    program = Surroundings(getattr(request, "param", 6), tmp_path / "place")
    program.root.mkdir()
    program.prepare()
    program.start()
    yield program
    program.end_everything()


@pytest.fixture
def pictures(tmp_path):
    """A folder as people have them: Japanese, a blank and brackets in its name."""
    return draw_pictures(tmp_path / "絵 (my pictures)")


@pytest.fixture
def visit(browser, surroundings):
    """Open a window; every trouble on any of them fails the test."""
    windows = []

    def enter(name=f"gradio{surroundings.line}"):
        windows.append(Visit(browser, surroundings.line, surroundings.address, name))
        return windows[-1]

    yield enter
    for window in windows:
        window.close()
    assert [window.troubles for window in windows] == [[] for _ in windows]
