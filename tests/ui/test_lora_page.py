"""The page of LoRA files in a browser: opened, searched, edited, undone, scrubbed, compared, and trained again."""

from __future__ import annotations

import json
import re

import pytest
from network_files import SD1_LORA, payload_of, write_network
from PIL import Image
from tanren.formats.safetensors_header import read_header
from ui.conftest import PATIENCE
from ui.serving import serve

pytestmark = pytest.mark.browser

TAGS = {"10_cat": {"cat": 9, "solo": 4, "blue sky": 2}, "1_dog": {"solo": 3}}
META = {
    "ss_output_name": "cat",
    "ss_base_model_version": "sd_v1",
    "ss_v2": "False",
    "ss_learning_rate": "0.0003",
    "ss_resolution": "(640, 448)",
    "ss_sd_model_name": r"C:\Users\hanako\anime.safetensors",
    "ss_tag_frequency": json.dumps(TAGS),
    "modelspec.description": "old <b>text</b>",
}
SECOND = {**META, "ss_output_name": "second", "ss_learning_rate": "0.0005"}


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """One page of the program for all tests; faults of its script fail the last one."""
    folder = tmp_path_factory.mktemp("loras")
    with serve(folder / "data", "--language=en") as served:
        page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        faults = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.set_default_timeout(PATIENCE)
        page.goto(served.address)
        page.wait_for_selector("#tanren-tabs")
        page.wait_for_function("Boolean(window.tanren && tanren.lora && tanren.lora.open)")
        yield page
        page.context.close()
    assert faults == []


@pytest.fixture
def path(tmp_path):
    return write_network(tmp_path / "猫 cat.safetensors", SD1_LORA, META)


@pytest.fixture
def page(opened, path):
    """The page of a file of its own."""
    show(opened, path)
    return opened


def show(page, path):
    page.evaluate("(path) => tanren.lora.open(path)", str(path))
    wait_until_open(page, path)


def wait_until_open(page, path):
    page.wait_for_selector(f'.tn-lora-page[data-path="{path}"]')


def press(page, name):
    page.click(f'[data-lora="{name}"]')


def field(page, key):
    return page.locator(f'[data-field="{key}"] :is(input, textarea, select)')


def write(page):
    """Look at what changes, write it, and wait for the page of the file as it is then."""
    press(page, "plan")
    page.wait_for_selector('[data-lora="write"]')
    shown = page.inner_text(".tn-lora-plan")
    press(page, "write")
    page.wait_for_selector('[data-lora="undo"]')
    return shown


def test_a_file_is_opened_by_its_path_and_its_tags_are_searched(page, tmp_path):
    other = write_network(tmp_path / "other 猫.safetensors", SD1_LORA, META)
    page.fill(".tn-lora-opener input", str(other))
    page.click('[data-lora="open"]')
    wait_until_open(page, other)
    assert page.locator(".tn-lora-page h2").first.inner_text() == "cat"
    assert page.locator(".tn-lora-tag-text").all_inner_texts() == ["cat", "solo", "blue sky"]

    page.fill(".tn-lora-search", "SKY")
    page.wait_for_selector("text=1 of 3 tags")
    assert page.locator(".tn-lora-tag-text").all_inner_texts() == ["blue sky"]

    page.fill(".tn-lora-search", "")
    page.select_option(".tn-lora-folder", index=2)
    assert page.locator(".tn-lora-tag").all_inner_texts() == ["solo\n3"]


def test_facts_have_names_that_people_know_and_texts_stay_texts(page):
    facts = page.locator(".tn-lora-groups").inner_text()

    assert re.search(r"Learning rate\s+0\.0003", facts)
    assert "old <b>text</b>" in facts


def test_a_broken_file_says_why(page, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 20)
    page.evaluate("(path) => tanren.lora.open(path)", str(tmp_path / "broken.safetensors"))

    page.wait_for_selector("#tanren-lora-view .tn-problem")
    assert page.locator(".tn-lora-page").count() == 0


def test_a_description_is_written_into_the_file_and_beside_it_and_undone(page, path):
    whole, payload = path.read_bytes(), payload_of(path)
    press(page, "edit")
    field(page, "modelspec.description").fill("new\n二行目")
    field(page, "preferred weight").fill("0.7")

    shown = write(page)

    assert "old <b>text</b>" in shown
    assert "Stays: the tensor hash" in shown
    assert read_header(path).metadata == {**META, "modelspec.description": "new\n二行目"}
    beside = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert beside == {"description": "new\n二行目", "preferred weight": 0.7}
    assert payload_of(path) == payload

    press(page, "undo")
    page.click("dialog .tn-main")
    page.wait_for_selector('[data-lora="undo"]', state="detached")
    assert path.read_bytes() == whole
    assert not path.with_suffix(".json").exists()


def test_only_the_place_that_was_chosen_is_written(page, path):
    whole = path.read_bytes()
    press(page, "edit")
    page.select_option(".tn-lora-place", "beside")
    assert not page.locator('[data-field="modelspec.author"]').is_visible()
    field(page, "modelspec.description").fill("for the card")

    write(page)

    assert path.read_bytes() == whole
    assert json.loads(path.with_suffix(".json").read_text("utf-8")) == {"description": "for the card"}


def test_a_cover_is_chosen_from_the_users_files(page, path, tmp_path):
    Image.new("RGB", (900, 600), "red").save(tmp_path / "red.png")
    press(page, "edit")
    page.set_input_files(".tn-lora-chooser >> nth=0", tmp_path / "red.png")
    page.wait_for_selector(".tn-lora-chosen img")

    write(page)

    assert read_header(path).metadata["modelspec.thumbnail"].startswith("data:image/jpeg;base64,")
    page.wait_for_function("document.querySelector('.tn-lora-picture img')?.naturalWidth === 256")


def test_a_key_that_hosts_need_goes_only_after_a_tick(page, path):
    press(page, "edit")
    page.click("text=Any key of the file")
    page.fill(".tn-lora-key", "ss_v2")
    page.press(".tn-lora-key", "Tab")
    page.check(".tn-lora-key-row label:has-text('Take this key out') input")
    press(page, "plan")
    page.wait_for_selector(".tn-lora-plan .tn-problem")

    page.check(".tn-lora-key-row label:has-text('take it out all the same') input")
    write(page)

    assert "ss_v2" not in read_header(path).metadata


def test_a_change_of_somebody_else_is_noticed(page, path):
    press(page, "edit")
    field(page, "modelspec.author").fill("me")
    press(page, "plan")
    page.wait_for_selector('[data-lora="write"]')
    write_network(path, SD1_LORA, SECOND)

    press(page, "write")

    page.wait_for_selector(".tn-lora-plan .tn-problem:has-text('has changed since it was looked at')")
    assert read_header(path).metadata == SECOND


def test_private_words_are_seen_before_they_go(page, path):
    press(page, "scrub")

    shown = write(page)

    assert "hanako" in shown
    assert "10_folder 1" in shown
    assert read_header(path).metadata["ss_sd_model_name"] == "anime.safetensors"


def test_two_files_are_compared(page, path, tmp_path):
    other = write_network(tmp_path / "second.safetensors", SD1_LORA, SECOND)
    press(page, "compare")
    page.fill(".tn-lora-work input", str(other))
    press(page, "compare-go")
    page.wait_for_selector(".tn-lora-comparison")

    assert re.search(r"Learning rate\s+0\.0003\s+0\.0005", page.inner_text(".tn-lora-comparison"))


def test_several_files_are_edited_at_once(page, path, tmp_path):
    other = write_network(tmp_path / "second.safetensors", SD1_LORA, SECOND)
    page.evaluate("(paths) => tanren.lora.editMany(paths)", [str(path), str(other)])
    field(page, "modelspec.author").fill("花子")
    press(page, "plan")
    page.wait_for_selector("text=2 of 2 files change.")
    press(page, "write")
    page.wait_for_selector("text=2 files were written.")

    assert [read_header(one).metadata["modelspec.author"] for one in (path, other)] == ["花子", "花子"]


def test_a_file_of_the_users_own_machine_is_shown_from_its_header(page, path):
    page.set_input_files(".tn-lora-opener input[type=file]", path)
    page.wait_for_selector(".tn-lora-page[data-path='']")

    assert page.locator('[data-lora="edit"]').count() == 0
    assert page.inner_text(".tn-lora-page h2") == "cat"


def test_the_train_form_is_filled_with_what_the_file_remembers(page):
    press(page, "again")
    page.wait_for_selector("dialog:has-text('The captions: only how often each tag occurs.')")
    page.click("dialog .tn-main")

    page.wait_for_selector("#tanren-import-report:has-text('What no file remembers')")
    boxes = "document.querySelectorAll('#tanren-field-resolution :is(input, textarea)')"
    page.wait_for_function(f"[...{boxes}].some((box) => box.value === '640,448')")
