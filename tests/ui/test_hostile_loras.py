"""Texts of strangers in LoRA files and beside them, in every place where they are shown, in all lines of gradio."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from gradio_pythons import LINES, python_of

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import expect
from ui.hostile_loras import EVIL, NAME, write_library

pytestmark = pytest.mark.browser
TESTS = Path(__file__).parents[1]
PROGRAM = TESTS / "ui" / "whole_page.py"
CARD = """([name, path]) => { const place = document.createElement("div"); place.id = "txt2img_lora_cards";
    const card = document.createElement("div"); card.className = "card"; card.dataset.name = name;
    const row = document.createElement("div"); row.className = "button-row";
    const copy = document.createElement("div"); copy.className = "copy-path-button card-button";
    copy.dataset.clipboardText = path; row.append(copy); card.append(row); place.append(card);
    document.body.prepend(place); }"""


@pytest.fixture(scope="module", params=LINES, ids=lambda line: f"gradio{line}")
def place(request, tmp_path_factory):
    """The whole page of a line, with a library of hostile files: (address, the two that can be opened)."""
    tmp_path = tmp_path_factory.mktemp("hostile")
    paths = write_library(tmp_path / "Lora")
    command = [python_of(request.param), str(PROGRAM), str(tmp_path / "data"), "en", str(tmp_path / "Lora")]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent / "trainer"), "PYTHONUTF8": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            lines = iter(process.stdout.readline, "")
            address = next((line.strip() for line in lines if line.startswith("http")), None)
            assert address, "the page did not start"
            yield address, paths
        finally:
            process.kill()


@pytest.fixture
def page(browser, place):
    """The tab of LoRA files; a dialog or a request to elsewhere fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    troubles = []
    page.set_default_timeout(120_000)
    page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    page.goto(place[0])
    page.wait_for_function("window.tanren && tanren.openLorasTab && document.querySelector('#tanren-tabs')")
    page.evaluate("window.hit = undefined")
    page.evaluate("tanren.openLorasTab()")
    expect(page.locator(".tn-lib-count")).to_have_text("3 LoRA files")
    yield page
    page.close()
    assert troubles == []


def unfold(page):
    """Open all that is folded, also what appears thereby."""
    for _ in range(3):
        page.evaluate("document.querySelectorAll('#tanren-lora details').forEach((one) => { one.open = true; })")
        page.wait_for_timeout(200)


def untouched(page, where):
    """Nothing ran, nothing was made of the texts, and every link leads to the web or stays here."""
    assert page.evaluate("window.hit") is None, where
    # Dialogs stand beside the tabs in some lines, so all of the page is looked at.
    strange = "img[src=x], svg[onload], [ontoggle], iframe[srcdoc], [onerror]"
    assert page.locator(f":is({strange})").count() == 0, where
    for address in page.locator("#tanren-tabs a").evaluate_all("links => links.map((link) => link.href)"):
        assert address == "" or address.startswith(("http://", "https://", "blob:")), where


def open_first(page, place):
    page.locator(".tn-lib-row[aria-rowindex]", has_text=" 2.safetensors").click()
    expect(page.locator(".tn-lora-page")).to_have_attribute("data-path", str(place[1][1]))


def test_nothing_that_a_file_says_is_run_wherever_it_is_shown(page, place):
    first, second = place[1]
    expect(page.locator("#tanren-library")).to_contain_text("onerror")
    expect(page.locator("#tanren-library")).to_contain_text("unknown dtype")
    page.locator("[data-filter=text]").fill(NAME)
    page.locator(".tn-lib-more > summary").click()
    untouched(page, "the table")

    open_first(page, place)
    unfold(page)
    expect(page.locator("#tanren-lora h2").first).to_contain_text("onerror")
    expect(page.locator(".tn-lora-page pre").first).to_contain_text("onerror")
    untouched(page, "the view")

    page.locator("[data-lora=edit]").click()
    unfold(page)
    page.locator('[data-field="modelspec.author"] :is(input, textarea)').fill(f"{EVIL} 3")
    page.locator("[data-lora=plan]").click()
    expect(page.locator(".tn-lora-plan")).to_contain_text("onerror")
    unfold(page)
    untouched(page, "the editor")

    page.locator("[data-lora=write]").click()
    expect(page.locator("[data-lora=undo]")).to_be_visible()
    page.locator("[data-lora=undo]").click()
    expect(page.locator("dialog")).to_contain_text("onerror")
    untouched(page, "the question")
    page.keyboard.press("Escape")

    page.locator("[data-lora=scrub]").click()
    page.wait_for_timeout(500)
    unfold(page)
    untouched(page, "the scrub")

    page.evaluate("(paths) => tanren.lora.compare(...paths)", [str(first), str(second)])
    expect(page.locator(".tn-lora-comparison")).to_contain_text("onerror")
    unfold(page)
    untouched(page, "the comparison")

    page.evaluate("(paths) => tanren.lora.editMany(paths)", [str(first), str(second)])
    page.locator("[data-lora=batch-scrub]").check()
    page.locator("[data-lora=plan]").click()
    expect(page.locator(".tn-lora-plan")).to_contain_text("files change")
    unfold(page)
    untouched(page, "several files")

    page.evaluate("(path) => tanren.lora.open(path)", str(first.with_name(f"{NAME} gone.safetensors")))
    expect(page.locator("#tanren-lora [role=alert]")).to_contain_text("onerror")
    untouched(page, "a problem")


def test_a_card_of_the_webui_with_a_hostile_name_opens_its_file(page, place):
    page.evaluate(CARD, [NAME, str(place[1][0])])

    page.locator(".tanren-card-button").dispatch_event("click")

    expect(page.locator(".tn-lora-page")).to_have_attribute("data-path", str(place[1][0]))
    untouched(page, "a card")


def test_a_form_that_is_filled_from_a_hostile_file_shows_texts(page, place):
    open_first(page, place)

    page.locator("[data-lora=again]").click()
    expect(page.locator("dialog")).to_contain_text("onerror")
    page.evaluate("document.querySelectorAll('dialog details').forEach((one) => { one.open = true; })")
    untouched(page, "the question")
    page.get_by_role("button", name="Fill the train form").click()

    expect(page.locator("#tanren-tab-train")).to_be_visible()
    expect(page.locator("#tanren-import-report").first).to_contain_text("What no file remembers")
    untouched(page, "the form")
