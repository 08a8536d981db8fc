"""A browser, and a server whose jobs a test changes while the page looks."""

from __future__ import annotations

import pytest
from ui.conftest import PATIENCE
from ui.page.serving import PageServer, World
from ui.page.stories import others, shelf, training


@pytest.fixture
def world():
    return World(jobs=shelf(training(), *others()))


@pytest.fixture
def server(world):
    server = PageServer(world)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def open_page(browser, server):
    """Open the page in a browser of its own; faults of its script fail the test."""
    contexts, faults = [], []

    def open_it(hash="", query="", **settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.set_default_timeout(PATIENCE)
        page.goto(server.address + query + hash)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(open_page):
    return open_page()
