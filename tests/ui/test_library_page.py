"""The table of all LoRA files in a browser: lines that are seen, filters, keys, several files at once, a phone."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("playwright.sync_api")

from network_files import SD1_LORA, SDXL_LORA, network_bytes, write_network
from playwright.sync_api import expect
from ui.library_page import serve_library

pytestmark = pytest.mark.browser
TAGS = json.dumps({"5_mycat": {"mycat": 5, "sofa": 1}})
MANY = 300


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A library of 300 files, served."""
    root = tmp_path_factory.mktemp("library")
    folder = root / "Lora"
    (folder / "アニメ").mkdir(parents=True)
    content = network_bytes(SD1_LORA, {"ss_v2": "False"})
    for number in range(MANY - 4):
        (folder / f"b{number:04}.safetensors").write_bytes(content)
    write_network(folder / "アニメ" / "a cat.safetensors", SDXL_LORA, {"ss_tag_frequency": TAGS})
    write_network(folder / "a dog.safetensors", SDXL_LORA)
    write_network(folder / "z twin.safetensors", SDXL_LORA, {"ss_output_name": "Zwilling"})
    (folder / "a broken one.safetensors").write_bytes(b"<html>")
    with serve_library(root / "data", folder) as page:
        yield page


@pytest.fixture
def open_page(browser, place):
    contexts, faults = [], []

    def open_it(**settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(place.address)
        expect(page.locator(".tn-lib-count")).to_have_text(f"{MANY} LoRA files")
        expect(page.locator("[data-library=refresh]")).to_be_enabled()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(open_page):
    return open_page()


def lines(page):
    """Names in the order in which they stand, from the top of the table."""
    return page.evaluate(
        """() => { const top = document.querySelector('.tn-lib-frame').getBoundingClientRect().top + 20;
        return [...document.querySelectorAll('.tn-lib-row:not(.tn-lib-top)')].filter((one) =>
            one.getBoundingClientRect().top >= top - 1).sort((one, other) => one.offsetTop - other.offsetTop)
            .map((one) => one.querySelector('.tn-lib-file').textContent); }"""
    )


def first_line(page):
    return page.locator(".tn-lib-row[aria-rowindex='2'] .tn-lib-file")


def test_only_the_lines_that_are_seen_are_in_the_page_and_all_can_be_reached(page):
    assert lines(page)[:4] == [
        "a broken one.safetensors",
        "a cat.safetensors",
        "a dog.safetensors",
        "b0000.safetensors",
    ]
    assert page.locator(".tn-lib-row").count() < 40

    page.locator(".tn-lib-frame").evaluate("frame => { frame.scrollTop = frame.scrollHeight; }")

    expect(page.locator(".tn-lib-file", has_text="z twin")).to_be_visible()
    assert page.locator(".tn-lib-row").count() < 60
    expect(page.locator(".tn-lib-frame")).to_have_attribute("aria-rowcount", str(MANY + 1))


def test_a_line_says_what_the_file_is_and_a_broken_one_why(page):
    cat = page.locator(".tn-lib-row", has_text="a cat")
    for text in ("アニメ", "SDXL", "LoRA", "mycat", "sofa"):
        expect(cat).to_contain_text(text)
    expect(page.locator(".tn-lib-row", has_text="a dog")).to_contain_text("no metadata")
    broken = page.locator(".tn-lib-row", has_text="a broken one")
    expect(broken).to_contain_text("It is a web page")
    expect(broken.locator("input")).to_be_disabled()


def test_search_filters_and_order(page):
    page.get_by_label("Search names, tags and texts").fill("mycat")
    expect(page.locator(".tn-lib-count")).to_have_text(f"1 of {MANY} LoRA files")
    expect(first_line(page)).to_have_text("a cat.safetensors")
    page.get_by_role("button", name="Clear the filters").click()
    page.locator("[data-filter=family]").select_option(label="SDXL")
    expect(page.locator(".tn-lib-count")).to_have_text(f"3 of {MANY} LoRA files")
    page.locator("[data-sort=name]").click()
    expect(first_line(page)).to_have_text("z twin.safetensors")
    expect(page.locator(".tn-lib-top .tn-lib-name")).to_have_attribute("aria-sort", "descending")

    page.reload()
    expect(page.locator(".tn-lib-count")).to_have_text(f"3 of {MANY} LoRA files")
    expect(first_line(page)).to_have_text("z twin.safetensors")
    page.get_by_label("Search names, tags and texts").fill("nothing like this")
    expect(page.locator(".tn-nothing").first).to_have_text("No file fits these filters.")


def test_copies_are_looked_for_when_they_are_asked_for(page):
    page.locator("[data-filter=family]").select_option(label="SDXL")
    page.locator(".tn-lib-more > summary").click()
    page.locator("[data-filter=duplicates]").check()
    expect(page.locator(".tn-lib-copies")).to_contain_text("Not all copies are known yet")

    page.get_by_role("button", name="Compare the files").click()

    expect(page.locator(".tn-lib-count")).to_have_text(f"3 of {MANY} LoRA files")
    expect(page.locator(".tn-lib-row", has_text="z twin")).to_contain_text("a copy")
    expect(page.locator(".tn-lib-copies")).to_be_hidden()


def test_the_table_is_used_by_keys(page):
    page.locator(".tn-lib-frame").focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    active = page.locator(".tn-lib-row[data-active]")
    expect(active).to_contain_text("a dog")
    assert page.locator(".tn-lib-frame").get_attribute("aria-activedescendant") == active.get_attribute("id")
    page.keyboard.press("Space")
    expect(active).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(active).to_contain_text("z twin")
    expect(active).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#tanren-lora")).to_contain_text("Zwilling")
    page.locator(".tn-lib-frame").focus()
    page.keyboard.press("Home")
    expect(active).to_contain_text("a broken one")
    assert page.locator(".tn-lib-frame").evaluate("frame => frame.scrollTop") == 0


def test_several_files_are_chosen_compared_and_given_up(page):
    page.locator(".tn-lib-row", has_text="a cat").locator("input").click()
    expect(page.locator("[data-library=compare]")).to_be_hidden()
    page.locator(".tn-lib-row", has_text="b0001").locator("input").click(modifiers=["Shift"])
    expect(page.locator(".tn-lib-chosen")).to_contain_text("4 chosen")
    page.get_by_role("button", name="Choose none").click()
    page.locator("[data-filter=family]").select_option(label="SDXL")
    expect(page.locator(".tn-lib-count")).to_have_text(f"3 of {MANY} LoRA files")
    page.locator(".tn-lib-row", has_text="a cat").locator("input").click()
    page.locator("[data-library=all]").click()
    expect(page.locator(".tn-lib-chosen")).to_contain_text("3 chosen")
    page.locator(".tn-lib-row", has_text="z twin").locator("input").click()

    page.get_by_role("button", name="Compare these two").click()

    expect(page.locator("#tanren-lora")).to_contain_text("a cat.safetensors")
    expect(page.locator("#tanren-lora")).to_contain_text("a dog.safetensors")
    page.get_by_role("button", name="Edit these files…").click()
    expect(page.locator("#tanren-lora")).to_contain_text("Edit 2 files")


def test_a_phone_shows_all_of_it_without_scrolling_sideways(open_page):
    page = open_page(viewport={"width": 390, "height": 844})

    expect(page.locator(".tn-lib-row", has_text="a cat")).to_contain_text("SDXL")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("[data-filter=sort]").select_option(label="Order: File size")
    expect(first_line(page)).to_have_text("a broken one.safetensors")


def test_without_a_folder_the_page_says_what_to_do(browser, tmp_path):
    with serve_library(tmp_path / "data", None) as place:
        page = browser.new_page()
        page.goto(place.address)
        expect(page.locator("#tanren-library")).to_contain_text("Start the program with --lora-dir FOLDER")
        page.close()
