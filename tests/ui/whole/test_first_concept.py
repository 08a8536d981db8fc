"""From the first click to a concept that is erased, with a browser, in all three gradio lines; without any picture."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect
from tanren.formats.safetensors_header import read_header
from ui.whole.driver import wait_until

pytestmark = pytest.mark.browser
NAME, STEPS = "no circles (円)", 4
PROMPT = "a red circle --w 64 --h 64 --s 2 --d 1"
UNDER_WAY = ("", "queued", "starting", "running")
YAML = "- target: square\n  action: erase\n  alpha: 1\n- target: star\n"


@pytest.mark.parametrize("surroundings", [6, 3, 4], indirect=True, ids=["alone", "A1111", "Forge"])
def test_from_the_first_click_to_a_concept_that_is_changed(surroundings, visit):
    window = visit(f"leco{surroundings.line}")
    window.open()
    window.open_tab()
    choose_what_to_do(window)
    make_a_slider(window)
    erase_a_shape(window)
    edit_the_file_as_text(window)
    if surroundings.line == 6:
        take_a_list_over_and_leave_it(window)
    train(window)
    see_before_and_after(window)
    use_it(window, surroundings)
    window.close()
    surroundings.kill()
    # A trainer takes a moment to let go of its libraries.
    until = time.monotonic() + 120
    while surroundings.left_over() and time.monotonic() < until:
        time.sleep(0.2)
    assert surroundings.left_over() == []


def choose_what_to_do(window):
    window.page.locator("#tanren-field-goal").get_by_text("LECO").click()
    expect(window.page.locator("#tanren-about-model").first).to_contain_text("This changes a concept")
    expect(window.page.locator("#tanren-about-model").first).to_contain_text("train_leco")
    expect(window.box("pictures")).not_to_be_visible()
    expect(window.box("trigger")).not_to_be_visible()
    expect(window.box("concept")).to_be_visible()
    window.choose("#tanren-preset", "Quick try of LECO ·")
    expect(window.box("concept")).to_have_value("circle")
    expect(window.plan).to_contain_text("240 steps at 64×64, batch 4, each with about 12 calls of the U-Net")


def make_a_slider(window):
    window.page.locator("#tanren-field-concept_action").get_by_text("Make a slider").click()
    expect(window.box("concept_plus")).to_be_visible()
    expect(window.box("concept")).not_to_be_visible()
    expect(window.page.locator("#tanren-field-concept_plus .tanren-at-field")).to_contain_text("no ends yet")
    window.fill("concept_plus", "red shape")
    window.fill("concept_minus", "blue shape")
    window.fill("concept_neutral", "shape")
    expect(window.plan).to_contain_text("“shape” slides from “blue shape” (-1) to “red shape” (+1).")
    window.keep("slider")


def erase_a_shape(window):
    window.page.locator("#tanren-field-concept_action").get_by_text("Erase it").click()
    window.fill("concept_neutral", "")
    window.fill("output_name", NAME)
    window.fill("length", str(STEPS))
    window.page.locator("#tanren-view").get_by_text("All settings").click()
    for field, value in (("sample_prompts", PROMPT), ("sample_every_n_steps", "4"), ("max_denoising_steps", "4")):
        window.search(field)
        window.fill(field, value)
    expect(window.plan).to_contain_text("“circle” is erased: nothing particular takes its place.")
    expect(window.plan).to_contain_text(f"{STEPS} steps at 64×64, batch 4, each with about 4 calls")
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "true")
    window.keep("plan")


def edit_the_file_as_text(window):
    window.plan.locator("summary", has_text="The prompt file").click()
    window.plan.get_by_role("button", name="Edit it as text").click()
    expect(window.box("prompts_file")).to_be_visible()
    expect(window.box("concept")).not_to_be_visible()
    window.fill("prompts_file", window.box("prompts_file").input_value() + "strange = 1\n")
    at_field = window.page.locator("#tanren-field-prompts_file .tanren-at-field")
    expect(at_field).to_contain_text("strange is not a field of prompts.")
    window.keep("text")
    window.plan.get_by_role("button", name="Back to the questions").click()
    expect(window.box("concept")).to_have_value("circle")
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "true")


def take_a_list_over_and_leave_it(window):
    window.page.locator("#tanren-exchange .label-wrap").first.click()
    window.page.locator("#tanren-import").locator("textarea").fill(YAML)
    window.page.wait_for_timeout(500)
    window.page.locator("#tanren-take-over").click()
    expect(window.page.locator("#tanren-import-report")).to_contain_text("[0].alpha")
    expect(window.box("prompts_file")).to_have_value(re.compile('target = "square"'))
    expect(window.plan).to_contain_text("“star” is erased")
    window.keep("imported")
    window.plan.get_by_role("button", name="Back to the questions").click()
    expect(window.box("concept")).to_be_visible()
    window.fill("concept", "circle")
    for field, value in (("sample_prompts", PROMPT), ("sample_every_n_steps", "4")):
        window.search(field)
        window.fill(field, value)
    expect(window.plan).to_contain_text("“circle” is erased")
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "true")


def train(window):
    window.start.click()
    expect(window.job.locator("h2")).to_have_text(NAME)
    state = window.job.locator(".tn-state").first
    wait_until(lambda: state.inner_text() not in UNDER_WAY, "the end of the training", window.page, seconds=900)
    window.expect_state("completed")


def see_before_and_after(window):
    labels = window.job.locator(".tn-samples .tn-strength")
    expect(labels).to_have_text(["without it (strength 0)", "at strength +1"])
    pictures = window.job.locator(".tn-samples img")
    expect(pictures).to_have_count(2)
    wait_until(lambda: pictures.evaluate_all("all => all.every(one => one.naturalWidth === 64)"), "them", window.page)
    window.keep("completed")


def use_it(window, surroundings):
    window.job.locator(".tn-files tbody tr").first.locator(".tn-main").click()
    window.answers_dialog()
    expect(window.job.locator(".tn-good")).to_contain_text(NAME)
    (copy,) = surroundings.lora_dir.glob("*.safetensors")
    header = read_header(copy)
    assert all(name.startswith("lora_unet_") for name in header.tensors)
    assert header.metadata["ss_leco_prompt_count"] == "1"
    assert '"target": "circle"' in header.metadata["ss_leco_preview"]
