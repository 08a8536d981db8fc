"""The train form in a browser, in each gradio line: filled, checked, started once."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest
from gradio_pythons import LINES, python_of
from PIL import Image
from tanren.jobs.shelf import Shelf
from tanren.ui.form_groups import group_id, groups

pytest.importorskip("playwright")

from playwright.sync_api import expect

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "ui" / "whole_page.py"
PATIENCE = 60_000
FIRST_GLANCE = 500
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)")
CONFIG = 'network_dim = 48\nmax_train_epochs = 3\nnetwork_module = "networks.lora"\nnonsense = 1\n'


@pytest.fixture(scope="module", params=LINES)
def served(request, tmp_path_factory):
    """Address and data folder of the page in one line."""
    data = tmp_path_factory.mktemp(f"gradio{request.param}") / "data"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "trainer"), "PYTHONUTF8": "1"}
    command = [python_of(request.param), str(PROGRAM), str(data)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = iter(process.stdout.readline, "")
            address = next((line.strip() for line in lines if line.startswith("http")), None)
            assert address, "the page did not start"
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield address, data
        finally:
            process.kill()


@pytest.fixture
def open_page(browser, served):
    """A page that was just opened and filled in; faults of its scripts fail the test."""
    contexts, faults = [], []

    def open_it(**settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 1000}, **settings})
        contexts.append(context)
        # The older lines ask for fonts in the web; a page without a network works as well.
        context.route(ELSEWHERE, lambda route: route.abort())
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(served[0])
        page.wait_for_function("(document.querySelector('#tanren-preset input') || {}).value")
        page.wait_for_selector("#tanren-plan [data-can-start]")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def page(open_page):
    return open_page()


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "学習 データ (1)"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (number * 40, 90, 10)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("mychr1, a ball", "utf-8")
    return str(folder)


def field(page, name):
    return page.locator(f"#tanren-field-{name}").locator("input, textarea").first


def fill(page, **values):
    for name, value in values.items():
        field(page, name).fill(value)


def wait_until_it_can_start(page):
    page.wait_for_selector("#tanren-plan [data-can-start=true]")
    expect(page.locator("#tanren-start")).not_to_have_attribute("aria-disabled", "true")


def choose(page, preset):
    page.locator("#tanren-preset input").click()
    page.locator("#tanren-preset [role=option], #tanren-preset li, ul.options li").filter(has_text=preset).first.click()


def unfold(page, part):
    page.locator(f"{part} .label-wrap").first.click()
    # gradio's newest line makes the fields of a part when it is unfolded, and hears what is typed a moment later.
    page.wait_for_timeout(FIRST_GLANCE)


def test_from_pictures_to_one_job_by_a_double_click(page, pictures, served):
    expect(page.locator("#tanren-start")).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#tanren-field-output_name")).to_contain_text("The LoRA has no name yet.")

    fill(page, pictures=pictures, output_name="mychr1", trigger="mychr1", length="2")
    page.wait_for_function("document.querySelector('#tanren-plan').innerText.includes('3 pictures')")
    wait_until_it_can_start(page)
    page.locator("#tanren-start").dblclick()

    page.wait_for_selector("#tanren-live :text('mychr1')")
    (job,) = [job for job in Shelf(served[1]).all() if job.envelope().name == "mychr1"]
    assert job.spec().options["max_train_steps"] == 2


def test_every_start_leads_to_its_own_job(page, pictures):
    fill(page, pictures=pictures, output_name="first", trigger="mychr1", length="2")
    page.wait_for_function("document.querySelector('#tanren-plan').innerText.includes('3 pictures')")
    for name in ("first", "second"):
        page.evaluate("document.querySelector('#tanren-tab-train-button, #tanren-tabs > .tab-nav > button').click()")
        fill(page, output_name=name)
        wait_until_it_can_start(page)
        page.locator("#tanren-start").click()
        expect(page.locator(".tn-job h2")).to_have_text(name)
        expect(page.locator(".tn-job h2")).to_be_visible()


def test_a_preset_sets_the_form_and_what_is_changed_afterwards_is_marked(page, pictures):
    fill(page, pictures=pictures, output_name="mychr1")
    choose(page, "Character · 8 GB")
    expect(field(page, "resolution")).to_have_value("512,512")
    expect(field(page, "pictures")).to_have_value(pictures)
    expect(field(page, "output_name")).to_have_value("mychr1")

    fill(page, resolution="768")

    expect(page.locator("#tanren-field-resolution")).to_contain_text("changed from the preset")
    expect(page.locator("#tanren-field-length")).not_to_contain_text("changed from the preset")


def test_a_reload_loses_nothing_that_was_typed(page, pictures):
    choose(page, "Character · 8 GB")
    expect(field(page, "resolution")).to_have_value("512,512")
    fill(page, pictures=pictures, output_name="half filled", resolution="640")
    page.wait_for_function("(sessionStorage.getItem('tanren.draft') || '').includes('half filled')")

    page.reload()

    expect(field(page, "output_name")).to_have_value("half filled")
    expect(field(page, "pictures")).to_have_value(pictures)
    expect(field(page, "resolution")).to_have_value("640")
    expect(page.locator("#tanren-preset input")).to_have_value("Character · 8 GB")
    expect(page.locator("#tanren-field-resolution")).to_contain_text("changed from the preset")


def group_of(name):
    """The element of the group that a field stands in."""
    return next(
        group_id(heading) for heading, members in groups().items() if name in {member.name for member in members}
    )


def test_all_settings_are_other_fields_of_the_same_form(page, pictures, served):
    fill(page, pictures=pictures, output_name="both views", length="2")
    page.get_by_text("All settings").first.click()
    unfold(page, f"#{group_of('network_dim')}")
    fill(page, network_dim="7")
    page.get_by_text("Simple view").first.click()
    expect(page.locator("#tanren-groups")).not_to_be_visible()
    wait_until_it_can_start(page)
    page.wait_for_function("document.querySelector('#tanren-plan [data-changed*=network_dim]')")
    page.locator("#tanren-start").click()

    page.wait_for_selector("#tanren-live :text('both views')")
    (job,) = [job for job in Shelf(served[1]).all() if job.envelope().name == "both views"]
    assert job.spec().options["network_dim"] == 7


def test_settings_are_found_by_kohyas_names(page):
    page.get_by_text("All settings").first.click()
    page.locator("#tanren-search").locator("input, textarea").first.fill("min_snr_gamma")

    expect(page.locator("#tanren-field-min_snr_gamma")).to_be_visible()
    expect(page.locator("#tanren-field-noise_offset")).not_to_be_visible()


def test_a_settings_file_is_taken_over_with_a_report(page, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(CONFIG, "utf-8")
    unfold(page, "#tanren-exchange")
    with page.expect_file_chooser() as chooser:
        page.locator("#tanren-choose-file").click()
    chooser.value.set_files(file)

    expect(page.locator("#tanren-import-report").first).to_contain_text("3 taken as they are, 0 changed, 1 not taken.")
    expect(field(page, "length")).to_have_value("3")
    page.locator("#tanren-copy-line").click()
    page.wait_for_function("document.querySelector('#tanren-export textarea').value.includes('--network_dim=48')")
    with page.expect_download() as download:
        page.locator("#tanren-export-download").click()
    assert download.value.suggested_filename == "train.sh"
    assert "--network_dim=48" in Path(download.value.path()).read_text("utf-8")


def test_presets_are_kept_and_deleted(page, served):
    unfold(page, "#tanren-exchange")
    page.locator("#tanren-preset-name").locator("input, textarea").first.fill("mine")
    page.locator("#tanren-preset-save").click()
    expect(page.locator("#tanren-preset input")).to_have_value("mine (own)")
    assert (served[1] / "presets" / "mine.toml").is_file()

    page.locator("#tanren-preset-delete").click()
    expect(page.locator("#tanren-preset-said").first).to_contain_text("in the trash")
    assert not (served[1] / "presets" / "mine.toml").exists()


def test_on_a_phone_nothing_is_wider_than_the_page(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    page.get_by_text("All settings").first.click()
    unfold(page, "#tanren-more")
    page.wait_for_selector("#tanren-search")

    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_fields_and_start_are_reached_by_keyboard(page):
    field(page, "pictures").focus()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.closest('[id^=tanren-]') || {}).id"))
        if reached[-1] == "tanren-start":
            break

    assert ["tanren-field-output_name" in reached, "tanren-preset" in reached, reached[-1]] == [
        True,
        True,
        "tanren-start",
    ]
