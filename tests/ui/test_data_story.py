"""The whole tab of pictures and captions in a browser: every tool once, and all of it undone after a restart.

The folder is the one that people really have (story_folder.py). Models are small ones of the tests, and run in the
trainer's environment, which in the lines of the WebUIs is another one than the page's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gradio_pythons import LINES, python_of
from story_folder import story_folder, tree_bytes

pytest.importorskip("playwright")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("transformers")

from captioner_models import write_blip
from onnx_models import write_detector, write_first_colour, write_tagger
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import expect
from tanren.ui.data_tools import all_groups, tool_named

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "ui" / "whole_page.py"
PATIENCE = 240_000
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)")
OPENED = """() => window.tanren && tanren.openDataTab
    && (tanren.openDataTab(), document.querySelector("#tanren-data-look"))"""
TABLE = {"01.png": {"caption": "sks girl, from a file"}, "11": {"tags": "sks girl, new"}}


@dataclass(frozen=True)
class Step:
    """One use of a tool.

    Args:
        tool: its name.
        said: what the page says at its end; {by} is the folder around the pictures.
        values: answers to its questions; {by} and {models} are folders.
        lines: of gradio in which it is used.
    """

    tool: str
    said: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: tuple[int, ...] = LINES


FIRST, SECOND, ONE = (3, 6), (4, 6), (6,)
STORY = (
    Step("utf8", "2 captions were written.", lines=FIRST),
    Step("add", "12 captions were written.", {"tags": "long_hair, name (series)", "creates": True}),
    Step("deduplicate", "1 caption was written.", lines=FIRST),
    Step("remove", "2 captions were written.", {"tags": "hat"}, FIRST),
    Step("replace", "1 caption was written.", {"old": "smile", "new": "grin, teeth"}, FIRST),
    Step("trigger", "12 captions were written.", {"trigger": "zq"}, FIRST),
    Step("order", "12 captions were written.", {"tags": "name (series)"}),
    Step("sort", "12 captions were written.", {"keep": "1"}, FIRST),
    Step("find", "10 captions were written.", {"old": r"sks (\w+)", "new": r"\1 ,, sks", "is_pattern": True}),
    Step("tidy", "10 captions were written."),
    Step("spaces", "12 captions were written.", lines=SECOND),
    Step("underscores", "12 captions were written.", lines=SECOND),
    Step("escape", "12 captions were written.", lines=SECOND),
    Step("unescape", "12 captions were written.", lines=SECOND),
    Step("prompt", "1 caption was written.", {"mode": "replace"}, FIRST),
    Step("folder_name", "12 captions were written.", {"mode": "append"}, FIRST),
    Step("file_name", "12 captions were written.", {"mode": "prepend"}, FIRST),
    Step("table", "2 captions were written.", {"table": "{by}/texts.json", "mode": "replace"}, SECOND),
    Step("into_table", "Written: {by}/all.json", {"file": "all"}, SECOND),
    Step("same", "12 captions were written.", {"text": "the same", "mode": "append"}),
    Step("resize", "11 pictures were made in {by}/small.", {"out": "small", "size": "64", "format": "png"}, SECOND),
    Step("clean", "11 pictures were made in {by}/clean.", {"out": "clean"}, SECOND),
    Step("masks", "1 picture was made in {by}/masks.", {"out": "masks"}, SECOND),
    Step("canny", "11 pictures were made in {by}/edges.", {"out": "edges"}),
    Step("blur", "11 pictures were made in {by}/blurred.", {"out": "blurred"}, SECOND),
    Step("grey", "11 pictures were made in {by}/grey.", {"out": "grey"}, FIRST),
    Step("lines", "11 pictures were made in {by}/lines.", {"out": "lines"}, FIRST),
    Step(
        "layout",
        "24 files put into {by}/train/3_sks girl.",
        {"out": "train", "repeats": "3", "name": "sks girl"},
        SECOND,
    ),
    Step("dataset", "Written: {by}/mine.toml", {"file": "mine"}, SECOND),
    Step("archive", "12 pictures with captions written into {by}/all.zip.", {"file": "all"}, FIRST),
    Step("tag", "11 written, 0 left as they are, 1 failed.", {"model": "{models}/tagger", "mode": "append"}, FIRST),
    Step(
        "describe",
        "11 written, 0 left as they are, 1 failed.",
        {"model": "{models}/captioner", "mode": "replace", "longest": "8", "beams": "1"},
        ONE,
    ),
    Step("cut_out", "11 written, 0 left as they are, 1 failed.", {"model": "{models}/u2net.onnx", "out": "cut"}, ONE),
    Step(
        "depth",
        "11 written, 0 left as they are, 1 failed.",
        {"model": "{models}/depth_anything_v2.onnx", "out": "deep"},
        SECOND,
    ),
    Step("faces", "11 written, 0 left as they are, 1 failed.", {"model": "{models}/face.onnx", "out": "faces"}, ONE),
    Step(
        "class",
        "2 written, 0 left as they are, 0 failed.",
        {"out": "reg", "class": "girl", "count": "2", "size": "64", "transparent": True},
        ONE,
    ),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """One small model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    write_tagger(folder / "tagger")
    write_blip(folder / "captioner")
    write_first_colour(folder / "u2net.onnx")
    write_first_colour(folder / "depth_anything_v2.onnx")
    write_detector(folder / "face.onnx", [(32, 32, 40, 40, 0.9)])
    return folder


@contextlib.contextmanager
def served(line, data):
    """Address of the page in one line; killed at the end, as when a machine goes down."""
    trainer = {"TANREN_TEST_CHECKOUT": str(ROOT), "TANREN_VENV": sys.prefix}
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1", **trainer}
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
def looking(browser, address, folder):
    """A page that looks at a folder; faults of its scripts fail the test."""
    faults = []
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
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


def drawn_with(picture, prompt):
    """Put a prompt into a picture, as the WebUI does."""
    info = PngInfo()
    info.add_itxt("parameters", f"{prompt}\nSteps: 20")
    with Image.open(picture) as image:
        image.save(picture, pnginfo=info)


def check_counts(page):
    """All that the overview counts of the story folder."""
    expect(page.locator("#tanren-data-understood")).to_have_text("12 pictures in the folder itself.")
    expect(page.locator("#tanren-data-captions")).to_contain_text("captions found: 11 of 12 (.txt 10, .caption 1)")
    assert sorted(page.locator("#tanren-data-flags button").all_text_contents()) == [
        "Cannot be used: 1",
        "Caption not in UTF-8: 1",
        "Caption of several lines: 1",
        "Caption over 75 tokens: 1",
        "Enlarged for training: 11",
        "Smaller than 256 pixels: 1",
        "Stored turned: 1",
        "The same or look alike: 2",
        "Transparent in places: 1",
        "Without a caption file: 1",
    ]
    expect(page.locator(".tn-data-tags h3")).to_have_text("53 tags")
    counts = page.locator(".tn-data-more .tn-bar-count").all_text_contents()
    assert counts == ["6", "2", "1", "1", "1", *("10", "0", "1", "0")]


def fill(form, values):
    """Answer the questions of a tool."""
    for name, value in values.items():
        asked = form.locator(f"[name={name}]")
        if isinstance(value, bool):
            asked.set_checked(value)
        elif asked.evaluate("(node) => node.tagName") == "SELECT":
            asked.select_option(value)
        else:
            asked.fill(value)


def use(page, step, places):
    """Open a tool, look at what it would do, do it; gives back what the page says at the end."""
    tool = tool_named(step.tool)
    page.locator(f"[data-tool={step.tool}]").click()
    form = page.locator(f"[data-form={step.tool}]")
    fill(
        form, {name: value.format(**places) if isinstance(value, str) else value for name, value in step.values.items()}
    )
    before = tree_bytes(places["by"])
    if tool.has_preview:
        page.get_by_role("button", name="Show what would change").click()
        expect(form.locator(".tn-tool-outcome strong")).to_have_text(re.compile("^[1-9].* would change"))
    if tool.has_sample:
        expect(form.locator(".tn-tool-sample img")).to_have_count(2)
    assert tree_bytes(places["by"]) == before, step.tool
    form.locator("button[type=submit]").click()
    work = page.locator(".tn-tool-work")
    expect(work.locator("strong").first).to_have_text(tool.title, timeout=PATIENCE)
    expect(work.locator("progress")).to_have_count(0, timeout=PATIENCE)
    said = work.locator("p").first.inner_text().removeprefix(tool.title).strip()
    assert said, work.inner_text()
    assert tree_bytes(places["by"]) != before, step.tool
    return said


def check_pairs(page, places):
    """The tool that changes nothing."""
    page.locator("[data-tool=pairs]").click()
    form = page.locator("[data-form=pairs]")
    fill(form, {"others": f"{places['by']}/edges"})
    form.get_by_role("button", name="Show what would change").click()
    expect(form.locator(".tn-tool-outcome")).to_contain_text("11 of 12 pictures have a partner.")
    expect(form.locator(".tn-tool-outcome")).to_contain_text("1 without a partner: 07 broken.jpg")


def revert_all(page, what, folder):
    """Press "Undo the last change" (or "Redo …") until the program says that there is nothing more."""
    ask = "(folder) => tanren.ask('data/history?' + new URLSearchParams({ folder }))"
    turns = 0
    while page.evaluate(ask, str(folder))[f"can_{what}"]:
        with page.expect_response(re.compile(f"/data/{what}$")) as answer:
            page.locator(f"#tanren-data-{what}").click()
        assert answer.value.ok, answer.value.text()
        turns += 1
    expect(page.locator(f"#tanren-data-{what}")).to_be_disabled()
    return turns


def test_every_tool_is_used_and_each_line_uses_half_of_them():
    tools = {tool.name for group in all_groups() for tool in group.tools}
    used = {line: {step.tool for step in STORY if line in step.lines} | {"pairs"} for line in LINES}

    assert used[6] == tools
    assert all(len(used[line]) * 2 >= len(tools) for line in LINES)


@pytest.mark.parametrize("line", LINES)
def test_every_tool_is_used_once_and_all_is_undone_after_a_restart(line, browser, tmp_path, models):
    folder, data = story_folder(tmp_path / "学習 素材"), tmp_path / "data"
    places = {"by": folder.parent, "models": models}
    drawn_with(folder / "01.png", "a cat, 猫")
    (folder.parent / "texts.json").write_text(json.dumps(TABLE), "utf-8")
    before, said = tree_bytes(folder.parent), {}
    steps = [step for step in STORY if line in step.lines]
    with served(line, data) as address, looking(browser, address, folder) as page:
        check_counts(page)
        for step in steps:
            said[step.tool] = use(page, step, places)
        check_pairs(page, places)
    after = tree_bytes(folder.parent)

    assert said == {step.tool: step.said.format(**places) for step in steps}
    with served(line, data) as address, looking(browser, address, folder) as page:
        assert revert_all(page, "undo", folder) >= len(steps)
        assert tree_bytes(folder.parent) == before
        if line == 4:
            revert_all(page, "redo", folder)
            assert tree_bytes(folder.parent) == after
