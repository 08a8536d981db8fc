"""From the train form to the pictures and back; what a tool would make; files of one's own machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gradio_pythons import LINES
from PIL import Image
from story_folder import story_folder, tree_bytes
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
        # Whoever comes without a folder finds the last ones to press.
        page.evaluate("sessionStorage.clear()")
        page.reload()
        page.wait_for_function(OPENED)
        page.locator(".tn-data-recent button", has_text="3_sks girl").click()
        expect(page.locator("#tanren-data-understood")).to_contain_text("as “sks girl”")
        expect(page.locator(".tn-data-recent")).to_be_hidden()


def test_what_a_tool_would_make_of_a_photograph_is_seen_and_follows_the_picture_that_is_open(browser, tmp_path):
    folder = story_folder(tmp_path / "pictures")
    # As hard to compress as a photograph: its address as text is hundreds of kilobytes long.
    Image.effect_noise((500, 400), 90).convert("RGB").save(folder / "00 noise.png")
    with served(6, tmp_path / "data") as address, looking(browser, address, folder) as page:
        page.locator("[data-tool=blur]").click()
        form = page.locator("[data-form=blur]")
        expect(form.locator(".tn-tool-sample p")).to_contain_text("Shown on 00 noise.png.")
        after = form.locator(".tn-tool-sample img").nth(1)
        expect(after).to_have_js_property("naturalWidth", 480)
        page.locator(".tn-cell", has_text="11.png").click()
        expect(form.locator(".tn-tool-sample p")).to_contain_text("Shown on 11.png.")
        expect(after).to_have_js_property("naturalWidth", 320)
        expect(after).to_have_js_property("naturalHeight", 480)


def test_a_file_of_ones_own_machine_becomes_captions_and_the_captions_are_downloaded(browser, tmp_path):
    folder = story_folder(tmp_path / "pictures")
    before = tree_bytes(folder)
    table = tmp_path / "表.json"
    table.write_text(json.dumps({"11.png": {"caption": "uploaded 猫"}}), "utf-8")
    with served(6, tmp_path / "data") as address, looking(browser, address, folder) as page:
        page.locator("[data-tool=table]").click()
        form = page.locator("[data-form=table]")
        with page.expect_file_chooser() as chooser:
            form.get_by_role("button", name="Choose a file…").click()
        chooser.value.set_files(table)
        expect(form).to_contain_text("表.json is taken from your computer.")
        form.get_by_role("button", name="Show what would change").click()
        expect(form.locator(".tn-changes tbody tr")).to_contain_text("uploaded 猫")
        assert tree_bytes(folder) == before
        form.locator("button[type=submit]").click()
        expect(page.locator(".tn-tool-work")).to_contain_text("1 caption was written.", timeout=PATIENCE)

        page.locator("[data-tool=into_table]").click()
        with page.expect_download() as download:
            page.locator("[data-form=into_table]").get_by_role("button", name="Download it").click()
        content = json.loads(Path(download.value.path()).read_text("utf-8"))
        assert download.value.suggested_filename == "captions.json"
        assert content["11.png"] == {"caption": "uploaded 猫"}
    assert (folder / "11.txt").read_text("utf-8") == "uploaded 猫"
