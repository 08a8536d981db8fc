"""The browser of all tests that look at a page."""

from __future__ import annotations

import pytest
from tanren.verification import find_browser


@pytest.fixture(scope="module")
def browser():
    """Chromium, for one module: while it is open, nothing else of this process may run an event loop."""
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield running
        running.close()
