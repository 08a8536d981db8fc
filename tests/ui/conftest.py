"""The browser of all tests that look at a page."""

from __future__ import annotations

import pytest
from tanren.verification import find_browser

# Milliseconds. Conditions are strict; a machine that is busy with other tests may take its time.
PATIENCE = 60_000


@pytest.fixture(scope="module")
def browser():
    """Chromium, for one module: while it is open, nothing else of this process may run an event loop."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        sync_api.expect.set_options(timeout=PATIENCE)
        running = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        yield running
        running.close()
