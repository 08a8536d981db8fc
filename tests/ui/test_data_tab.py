"""The tab of pictures and captions in a browser, in each gradio line, on the folder that people really have."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from gradio_pythons import LINES, python_of
from story_folder import story_folder, tree_bytes

pytest.importorskip("playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "ui" / "whole_page.py"
PATIENCE = 120_000
# gradio's newest line makes a tab's content when it is opened.
OPENED = """() => window.tanren && tanren.openDataTab
    && (tanren.openDataTab(), document.querySelector("#tanren-data-look"))"""

ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)")


@contextlib.contextmanager
def served(line, data):
    """Address of the page in one line; killed at the end, as when a machine goes down."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    command = [python_of(line), str(PROGRAM), str(data)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            address = next((line.strip() for line in lines if line.startswith("http")), None)
            assert address, "the page did not start"
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield address
        finally:
            process.kill()


@contextlib.contextmanager
def looking(browser, address, folder, **settings):
    """A page that looks at a folder; faults of its scripts fail the test."""
    faults = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **settings})
    context.route(ELSEWHERE, lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    page.wait_for_function(OPENED)
    page.locator("#tanren-data-folder").fill(str(folder))
    page.locator("#tanren-data-look").click()
    expect(page.locator("#tanren-data-flags [data-flag=alike]")).to_be_visible(timeout=PATIENCE)
    yield page
    context.close()
    assert faults == []


def names(page):
    return page.locator(".tn-cell-name").all_text_contents()


def wait_until(page, happened):
    """Let the page go on until something happened outside it."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        page.wait_for_timeout(20)


def search(page, words, count):
    page.locator("#tanren-data-words").fill(words)
    expect(page.locator(".tn-cell")).to_have_count(count)


def do(page, tool, **values):
    """Open a tool, fill it in, press its button, wait for its end; returns the outcome."""
    page.locator(f"[data-tool={tool}]").click()
    form = page.locator(f"[data-form={tool}]")
    for name, value in values.items():
        form.locator(f"[name={name}]").fill(value)
    form.locator("button[type=submit]").click()
    said = page.locator(".tn-tool-work")
    expect(said).to_contain_text("written", timeout=PATIENCE)
    outcome = said.text_content()
    page.locator(f"[data-tool={tool}]").click()
    return outcome


@pytest.mark.parametrize("line", LINES)
def test_folder_is_counted_captions_are_edited_and_all_is_undone_after_a_restart(line, browser, tmp_path):
    folder, data = story_folder(tmp_path / "pictures"), tmp_path / "data"
    before = tree_bytes(folder)
    with served(line, data) as address, looking(browser, address, folder) as page:
        expect(page.locator("#tanren-data-understood")).to_have_text("12 pictures in the folder itself.")
        expect(page.locator("#tanren-data-captions")).to_contain_text("11 of 12 (.txt 10, .caption 1)")
        flags = page.locator("#tanren-data-flags button").all_text_contents()
        assert "Cannot be used: 1" in flags and "Transparent in places: 1" in flags and "Stored turned: 1" in flags
        expect(page.locator(".tn-cell")).to_have_count(12)

        page.locator("[data-flag=alike]").click()
        expect(page.locator(".tn-cell")).to_have_count(2)
        assert names(page) == ["09 twin a.png", "09 twin b.jpg"]
        page.locator("[data-flag=alike]").click()
        expect(page.locator(".tn-cell")).to_have_count(12)
        search(page, "sks girl and (red* or blue*)", 2)
        search(page, "", 12)
        assert tree_bytes(folder) == before

        page.locator(".tn-cell", has_text="01.png").click()
        text = page.locator(".tn-caption-text")
        expect(text).to_have_value("sks girl, red hair, smile")
        expect(page.locator(".tn-crop")).to_have_attribute("data-size", "512×512")
        text.fill("sks girl, green hair")
        text.press("PageDown")
        expect(text).to_have_value("sks girl, 桜色の髪, 笑顔")
        assert (folder / "01.txt").read_bytes() == b"sks girl, green hair"
        text.press("Escape")

        page.locator("[data-tool=find]").click()
        page.locator("#tanren-tool-find-old").fill("sks girl")
        page.locator("#tanren-tool-find-new").fill("sks woman")
        page.get_by_role("button", name="Show what would change").click()
        expect(page.locator(".tn-tool-outcome")).to_contain_text("10 files would change.")
        assert (folder / "03.txt").read_bytes() == b"\xef\xbb\xbfsks girl, blue eyes"
        page.locator("[data-tool=find]").click()
        assert "10 captions were written." in do(page, "find", old="sks girl", new="sks woman")
        assert (folder / "03.txt").read_bytes() == b"sks woman, blue eyes"
        expect(page.locator("#tanren-data-history li")).to_have_count(2)

    with served(line, data) as address, looking(browser, address, folder) as page:
        expect(page.locator("#tanren-data-history li")).to_have_count(2)
        for done in range(2):
            page.locator("#tanren-data-undo").click()
            expect(page.locator("#tanren-data-history li[data-state=undone]")).to_have_count(done + 1)
        expect(page.locator("#tanren-data-undo")).to_be_disabled()
        assert tree_bytes(folder) == before


def test_page_fits_a_phone_and_a_wrong_level_is_one_press_away(browser, tmp_path):
    folder = story_folder(tmp_path / "pictures")
    with (
        served(6, tmp_path / "data") as address,
        looking(browser, address, folder, viewport={"width": 390, "height": 844}) as page,
    ):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        expect(page.get_by_text("The pictures in 3_sks girl are not counted here")).to_be_visible()
        page.get_by_role("button", name="Look at that folder").click()
        expect(page.locator("#tanren-data-understood")).to_contain_text(
            "4 pictures, each 3 times an epoch, as “sks girl”"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_page_keys_go_through_the_filtered_pictures_also_when_the_filter_came_after_opening(browser, tmp_path):
    folder = story_folder(tmp_path / "pictures")
    with served(6, tmp_path / "data") as address, looking(browser, address, folder) as page:
        search(page, "red* or blue*", 2)
        first, second = names(page)
        search(page, "", 12)
        page.locator(".tn-cell", has_text=first).click()
        shown = page.locator(".tn-edit h3")
        expect(shown).to_have_text(first)
        search(page, "red* or blue*", 2)
        for key, name in (("PageDown", second), ("PageDown", second), ("PageUp", first)):
            page.locator(".tn-caption-text").press(key)
            expect(shown).to_have_text(name)
            expect(page.locator(".tn-cell[aria-selected=true] .tn-cell-name")).to_have_text(name)


def test_next_picture_is_opened_also_while_the_rows_are_asked_for_anew(browser, tmp_path):
    """Saving makes the gallery ask again; whoever types fast is at the next picture before the answer."""
    folder, held, is_held = story_folder(tmp_path / "pictures"), [], True
    with served(6, tmp_path / "data") as address, looking(browser, address, folder) as page:
        page.locator(".tn-cell", has_text="01.png").click()
        text = page.locator(".tn-caption-text")
        expect(text).to_have_value("sks girl, red hair, smile")
        page.route("**/data/rows?*", lambda route: held.append(route) if is_held else route.continue_())
        text.fill("sks girl, green hair")
        text.press("Control+s")
        wait_until(page, lambda: held)
        text.press("PageDown")
        is_held = False
        held[0].continue_()
        expect(text).to_have_value("sks girl, 桜色の髪, 笑顔")
        expect(page.locator(".tn-cell[aria-selected=true] .tn-cell-name")).to_have_text("02.jpg")


def test_next_picture_is_the_one_seen_next_also_when_the_edited_one_leaves_the_filter(browser, tmp_path):
    folder = story_folder(tmp_path / "pictures")
    with served(6, tmp_path / "data") as address, looking(browser, address, folder) as page:
        search(page, "red* or blue*", 2)
        first, second = names(page)
        page.locator(".tn-cell", has_text=first).click()
        text = page.locator(".tn-caption-text")
        expect(text).to_have_value(re.compile("red|blue"))
        text.fill("sks girl, no colour")
        text.press("PageDown")
        expect(page.locator(".tn-edit h3")).to_have_text(second)
        expect(page.locator(".tn-cell")).to_have_count(1)
        expect(page.locator(".tn-cell[aria-selected=true] .tn-cell-name")).to_have_text(second)
        text.press("PageUp")
        expect(page.locator(".tn-edit h3")).to_have_text(second)


def test_what_stands_in_captions_and_names_is_shown_and_never_run(browser, tmp_path):
    folder = story_folder(tmp_path / "pictures")
    payload = '<img src=x onerror="window.hit=1">'
    (folder / "03.txt").write_text(f'{payload}, "><script>window.hit=1</script>', "utf-8")
    (folder / "04.bmp").rename(folder / f"{payload.replace('/', '')}.bmp")
    with served(6, tmp_path / "data") as address, looking(browser, address, folder) as page:
        expect(page.locator(".tn-cell-caption", has_text="onerror")).to_have_count(1)
        page.locator(".tn-cell", has_text="03.webp").click()
        expect(page.locator(".tn-caption-text")).to_have_value(re.compile("<script>"))
        do(page, "add", tags="<b>bold</b>")
        expect(page.locator(".tn-tag-name", has_text="<b>bold</b>")).to_have_count(1)
        assert page.evaluate("window.hit") is None
