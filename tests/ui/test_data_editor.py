"""The editor of one picture when the folder, or the way its captions are read, becomes another."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
from gradio_pythons import python_of
from PIL import Image

pytest.importorskip("playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "ui" / "whole_page.py"
PATIENCE = 120_000
OPENED = """() => window.tanren && tanren.openDataTab
    && (tanren.openDataTab(), document.querySelector("#tanren-data-look"))"""
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)")
# Counts the samples that are wanted, and those whose refusal has been dealt with. Questions stand in line: a second one
# is sent when the first has its answer.
COUNTED = """() => {
    const ask = tanren.ask;
    Object.assign(window, { wanted: 0, refused: 0 });
    tanren.ask = (...asked) => {
        const answer = ask(...asked);
        if (!asked[0].startsWith("data/sample?")) return answer;
        window.wanted += 1;
        answer.catch(() => setTimeout(() => { window.refused += 1; }));
        return answer;
    };
}"""
JAPANESE = "桜色の髪, 笑顔"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page, in our own line of gradio."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    command = [python_of(6), str(PROGRAM), str(tmp_path_factory.mktemp("data"))]
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
def page_of(browser, address):
    """The page as it comes; faults of its scripts fail the test."""
    faults = []
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.route(ELSEWHERE, lambda route: route.abort())
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert faults == []


@contextlib.contextmanager
def looking(browser, address, folder):
    with page_of(browser, address) as page:
        page.wait_for_function(OPENED)
        look(page, folder)
        yield page


def look(page, folder):
    page.locator("#tanren-data-folder").fill(str(folder))
    page.locator("#tanren-data-look").click()


def pictures(folder, **captions):
    """A folder of pictures with these captions; bytes are written as they are, None is no caption."""
    folder.mkdir()
    for number, (name, caption) in enumerate(captions.items()):
        Image.new("RGB", (64, 64), (40 * number, 90, 200)).save(folder / f"{name}.png")
        if caption is not None:
            (folder / f"{name}.txt").write_bytes(caption if isinstance(caption, bytes) else caption.encode())
    return folder


def wait_until(page, happened):
    """Let the page go on until something happened outside it."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        page.wait_for_timeout(20)


def open_picture(page, name, text):
    page.locator(".tn-cell", has_text=name).click()
    expect(page.locator(".tn-edit h3")).to_have_text(name)
    field = page.locator(".tn-caption-text")
    expect(field).to_have_value(text)
    expect(field).to_be_editable()
    return field


def test_open_picture_is_read_again_in_another_encoding_and_what_was_typed_is_saved_first(browser, address, tmp_path):
    folder = pictures(tmp_path / "pictures", a="hat", b=JAPANESE.encode("cp932"))
    with looking(browser, address, folder) as page:
        encoding = page.locator("#tanren-data-encoding")
        field = open_picture(page, "a.png", "hat")
        field.fill("red hat")
        encoding.select_option("gbk")
        expect(page.locator(".tn-cell-caption", has_text="red hat")).to_have_count(1)
        assert (folder / "a.txt").read_text("utf-8") == "red hat"

        field = open_picture(page, "b.png", JAPANESE.encode("cp932").decode("gbk"))
        encoding.select_option("cp932")
        expect(field).to_have_value(JAPANESE)
        expect(field).to_be_editable()
        field.press("End")
        field.press_sequentially(", hat")
        field.press("Control+s")
        expect(page.locator(".tn-cell-caption", has_text=f"{JAPANESE}, hat")).to_have_count(1)
        assert (folder / "b.txt").read_text("utf-8") == f"{JAPANESE}, hat"


def test_another_encoding_waits_for_a_caption_that_cannot_be_saved(browser, address, tmp_path):
    folder = pictures(tmp_path / "pictures", a="hat", b=JAPANESE.encode("cp932"))
    with looking(browser, address, folder) as page:
        field = open_picture(page, "a.png", "hat")
        field.fill("red hat")
        (folder / "a.txt").write_text("somebody else's", "utf-8")
        encoding = page.locator("#tanren-data-encoding")
        usual = encoding.input_value()
        encoding.select_option("gbk")
        expect(page.locator(".tn-edit .tn-problem")).to_be_visible()
        expect(encoding).to_have_value(usual)
        expect(field).to_have_value("red hat")
        assert (folder / "a.txt").read_text("utf-8") == "somebody else's"


def test_what_was_typed_is_saved_before_another_folder_is_looked_at(browser, address, tmp_path):
    first = pictures(tmp_path / "first", a="hat")
    second = pictures(tmp_path / "second", c="dog")
    with looking(browser, address, first) as page:
        open_picture(page, "a.png", "hat").fill("red hat")
        look(page, second)
        expect(page.locator(".tn-cell-name")).to_have_text(["c.png"])
        assert (first / "a.txt").read_text("utf-8") == "red hat"
        expect(page.locator(".tn-edit")).to_be_hidden()
        field = open_picture(page, "c.png", "dog")
        field.fill("brown dog")
        field.press("Control+s")
        expect(page.locator(".tn-cell-caption")).to_have_text(["brown dog"])
        assert (second / "c.txt").read_text("utf-8") == "brown dog"


def test_another_folder_waits_for_a_caption_that_cannot_be_saved(browser, address, tmp_path):
    first = pictures(tmp_path / "first", a="hat")
    second = pictures(tmp_path / "second", c="dog")
    with looking(browser, address, first) as page:
        field = open_picture(page, "a.png", "hat")
        field.fill("red hat")
        (first / "a.txt").write_text("somebody else's", "utf-8")
        for go in (lambda: look(page, second), lambda: page.evaluate("tanren.data.open", str(second))):
            go()
            expect(page.locator("#tanren-data-folder")).to_have_value(str(first))
            expect(page.locator(".tn-edit .tn-problem")).to_be_visible()
            expect(field).to_have_value("red hat")
        page.get_by_role("button", name="Read the file again").click()
        expect(field).to_have_value("somebody else's")
        page.evaluate("tanren.data.open", str(second))
        expect(page.locator(".tn-cell-name")).to_have_text(["c.png"])
        assert (first / "a.txt").read_text("utf-8") == "somebody else's"


def test_a_caption_that_cannot_be_read_again_is_told_and_another_picture_opens(browser, address, tmp_path):
    folder = pictures(tmp_path / "pictures", a="hat", b="dog")
    with looking(browser, address, folder) as page:
        field = open_picture(page, "a.png", "hat")
        field.fill("red hat")
        (folder / "a.txt").write_text("somebody else's", "utf-8")
        field.press("Control+s")
        again = page.get_by_role("button", name="Read the file again")
        expect(again).to_be_visible()
        page.route("**/data/one?*", lambda route: route.fulfill(status=404, json={"problem": {"what": "It is gone."}}))
        again.click()
        expect(page.locator(".tn-edit .tn-problem")).to_contain_text("It is gone.")
        expect(field).not_to_be_editable()
        page.unroute("**/data/one?*")
        open_picture(page, "b.png", "dog")
        assert (folder / "a.txt").read_text("utf-8") == "somebody else's"


def test_the_mark_that_was_asked_for_is_kept_until_the_tab_is_made(browser, address, tmp_path):
    folder = pictures(tmp_path / "pictures", a="hat", b=JAPANESE.encode("cp932"), c="dog")
    with page_of(browser, address) as page:
        page.wait_for_function("() => window.tanren && tanren.data && document.querySelector('[role=tab]')")
        assert page.locator("#tanren-data").count() == 0, "the tab is made when it is opened"
        page.evaluate("folder => tanren.data.open(folder, 'encoding')", str(folder))
        expect(page.locator(".tn-cell-name")).to_have_text(["b.png"])
        expect(page.locator("#tanren-data-flags [data-flag=encoding]")).to_have_attribute("aria-pressed", "true")
        page.locator("#tanren-data-flags [data-flag=encoding]").click()
        expect(page.locator(".tn-cell-name")).to_have_text(["a.png", "b.png", "c.png"])


def test_refusal_of_a_sample_that_is_no_longer_wanted_is_not_shown(browser, address, tmp_path):
    folder, held = pictures(tmp_path / "pictures", a="hat"), []
    with looking(browser, address, folder) as page:
        expect(page.locator(".tn-cell")).to_have_count(1)
        page.evaluate(COUNTED)
        page.route("**/data/sample?*", lambda route: held.append(route) if len(held) < 2 else route.continue_())
        page.locator("[data-tool=lines]").click()
        wait_until(page, lambda: held)
        strength = page.locator("#tanren-tool-lines-strength")
        strength.focus()
        strength.press("ArrowRight")
        page.wait_for_function("window.wanted === 2")
        held[0].fulfill(status=400, json={"problem": {"what": "An older question."}})
        page.wait_for_function("window.refused === 1")
        sample = page.locator("[data-form=lines] .tn-tool-sample")
        expect(sample.locator(".tn-warning")).to_have_count(0)
        wait_until(page, lambda: len(held) == 2)
        held[1].continue_()
        expect(sample.locator("img")).to_have_count(2)
