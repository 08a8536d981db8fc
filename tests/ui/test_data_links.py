"""From the train form to the pictures and back, with the folder in hand."""

from __future__ import annotations

import pytest
from gradio_pythons import LINES
from story_folder import story_folder
from ui.test_data_tab import OPENED, PATIENCE, looking, served

pytest.importorskip("playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("line", LINES)
def test_a_folder_goes_from_the_tab_into_the_train_form_and_back(line, browser, tmp_path):
    folder = story_folder(tmp_path / "pictures")
    with (
        served(line, tmp_path / "data") as address,
        looking(browser, address, folder) as page,
    ):
        inner = folder / "3_sks girl"
        page.locator("#tanren-data-folder").fill(str(inner))
        page.locator("#tanren-data-look").click()
        expect(page.locator("#tanren-data-understood")).to_contain_text("as “sks girl”")
        page.locator("#tanren-data-trigger").fill("sks")
        page.locator("#tanren-data-train").click()

        pictures = page.locator("#tanren-field-pictures textarea, #tanren-field-pictures input").first
        expect(pictures).to_have_value(str(inner))
        expect(page.locator("#tanren-field-trigger textarea, #tanren-field-trigger input").first).to_have_value("sks")

        pictures.fill(str(folder))
        page.locator("#tanren-look-at-pictures").click()
        expect(page.locator("#tanren-data-folder")).to_have_value(str(folder), timeout=PATIENCE)
        expect(page.locator("#tanren-data-understood")).to_have_text("12 pictures in the folder itself.")

        # Loose pictures beside folders with repeats are not trained: that is asked about.
        page.locator("#tanren-data-train").click()
        expect(page.locator("dialog, [role=dialog]").first).to_contain_text("folders with repeats")
        page.keyboard.press("Escape")
        options = page.locator("#tn-data-folders option")
        page.reload()
        page.wait_for_function(OPENED)
        expect(options.first).to_have_attribute("value", str(folder), timeout=PATIENCE)
        expect(options.nth(1)).to_have_attribute("value", str(inner))
