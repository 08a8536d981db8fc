"""What a tool needs is installed from the tab itself, with progress, and the tool works then without a reload."""

from __future__ import annotations

import pytest
from small_wheels import serving
from story_folder import story_folder
from ui.small_checkout import make_checkout, only_from
from ui.test_data_tab import PATIENCE, looking, served

pytest.importorskip("playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The page may set up this checkout's environment, which is not made yet; the index that it asks."""
    (tmp_path / "checkout").mkdir()
    made = make_checkout(tmp_path / "checkout")
    with serving(made / "wheels") as index:
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in only_from(index).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TANREN_TEST_CHECKOUT", str(made))
        monkeypatch.setenv("TANREN_VENV", str(tmp_path / "venv"))
        yield index


def test_a_missing_environment_is_made_from_the_tool_that_needs_it(browser, tmp_path, checkout):
    folder = story_folder(tmp_path / "pictures")
    with served(6, tmp_path / "data") as address, looking(browser, address, folder) as page:
        page.locator("[data-tool=tag]").click()
        card = page.locator("[data-form=tag] .tn-needs")
        expect(card).to_contain_text("This tool runs in the trainer's environment, which is not made yet.")
        expect(card).to_contain_text("are downloaded")

        checkout.goes_on.clear()
        page.locator("#tanren-data-install").click()
        expect(card).to_contain_text("Downloading tiny-one", timeout=PATIENCE)
        expect(card.get_by_role("progressbar")).to_be_visible()
        checkout.goes_on.set()
        expect(card).to_contain_text("It is installed: the tool can be used now.", timeout=PATIENCE)
        expect(card.get_by_role("progressbar")).to_be_hidden()

        # The tool runs in it, and says itself what it lacks: these packages are empty.
        page.locator("[data-form=tag] [name=model]").fill(str(tmp_path))
        page.locator("[data-form=tag] button[type=submit]").click()
        expect(page.locator(".tn-tool-work .tn-card")).to_contain_text(
            "packages that this tool needs", timeout=PATIENCE
        )
