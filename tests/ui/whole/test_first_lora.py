"""From the first click to a LoRA in use, with a browser, in all three gradio lines; nothing is replaced or left out.

Each line is one long test, because each station stands on the one before: that is how somebody uses the page.
"""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image
from playwright.sync_api import expect
from tanren.formats.safetensors_header import read_header
from ui.whole.driver import DESK, PHONE, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.rule("flt-07")]
STEPS, SAMPLE_EVERY, BATCH = 60, 12, 2
PROMPTS = "a red sks on a white background --w 64 --h 64 --s 4 --d 1\na blue sks --w 64 --h 64 --s 4 --d 2"
# Of the watched part.
SECONDS_PER_STEP = 0.6
NAME, TRIGGER = "moon (月)", "sks"


@pytest.mark.parametrize("surroundings", [6, 3, 4], indirect=True, ids=["alone", "A1111", "Forge"])
def test_from_the_first_click_to_a_lora_in_use(surroundings, visit, pictures):
    window = visit()
    window.open()
    window.open_tab()
    window.keep("first-look")
    fill_the_form(window, pictures)
    show_a_wrong_value(window)
    choose_among_all_settings(window)
    with surroundings.not_faster_than(SECONDS_PER_STEP, slower_after=STEPS // 2):
        start_by_double_click(window, surroundings)
        watch(window)
        reload(window)
        look_from_elsewhere(window, visit, surroundings)
        kill_and_restart(window, surroundings)
        look_at_samples(window)
        stop_with_save(window)
    go_on_to_the_end(window)
    look_in_the_dark_and_on_a_phone(window)
    use_it(window, surroundings)
    delete_the_job(window, surroundings)
    empty_the_cache(window, surroundings)
    surroundings.kill()
    wait_until(lambda: surroundings.left_over() == [], "nothing to be left", window.page)


def fill_the_form(window, pictures):
    window.choose("#tanren-preset", "Quick try")
    expect(window.box("length")).to_have_value("400")
    window.choose("#tanren-field-pretrained_model_name_or_path", "base.safetensors")
    window.fill("pictures", str(pictures))
    window.fill("output_name", NAME)
    window.fill("trigger", TRIGGER)
    window.fill("length", str(STEPS))

    expect(window.plan).to_contain_text("12 pictures × 10 repeats ÷ batch 16")
    expect(window.plan).to_contain_text(f"{STEPS} steps")
    expect(window.plan).to_contain_text("captions found: 11 of 12 (.txt 11)")
    expect(window.plan).to_contain_text("What will be trained")
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "true")
    expect(window.page.locator("#tanren-field-length .tanren-changed-mark")).to_be_visible()
    window.keep("plan")


def show_a_wrong_value(window):
    window.fill("resolution", "wide")
    at_field = window.page.locator("#tanren-field-resolution .tanren-at-field")
    expect(at_field).to_contain_text("'wide'")
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "false")
    expect(window.start).to_have_attribute("aria-disabled", "true")
    window.keep("wrong-value")
    window.start.click(force=True)
    window.fill("resolution", "64,64")
    expect(at_field).to_have_count(0)
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "true")
    assert window.page.locator("#tanren-outcome [data-started]").count() == 0


def choose_among_all_settings(window):
    page = window.page
    page.locator("#tanren-view").get_by_text("All settings").click()
    window.search("sample_every_n_steps")
    window.fill("sample_every_n_steps", str(SAMPLE_EVERY))
    window.search("train_batch_size")
    window.fill("train_batch_size", str(BATCH))
    window.search("sample_prompts")
    window.fill("sample_prompts", PROMPTS)
    window.search("sample_every_n_steps")
    expect(window.plan).to_contain_text(f"÷ batch {BATCH} = 60 steps per epoch; {STEPS} steps = 1 epoch")
    expect(page.locator("#tanren-field-sample_every_n_steps .tanren-changed-mark")).to_be_visible()
    window.keep("all-settings")


def start_by_double_click(window, surroundings):
    window.start.dblclick()
    expect(window.job.locator("h2")).to_have_text(NAME)
    window.page.wait_for_timeout(1000)
    assert [job["name"] for job in surroundings.jobs()] == [NAME]


def watch(window):
    sentence = window.job.locator(".tn-sentence")
    seen = set()

    def trains():
        seen.add(re.sub(r"[\d/ ]+$", "", sentence.inner_text().partition(" · ")[0]))
        return window.step() > 5

    wait_until(trains, "the training to begin", window.page)
    # Short phases may pass between two looks; that something is said before the first step is seen on every machine.
    assert "Training steps" in seen, seen
    assert len(seen) >= 2, seen
    window.expect_state("running")
    expect(window.job.locator(".tn-facts")).to_contain_text("Per step")
    expect(window.job.locator(".tn-picture")).to_be_visible()
    wait_until(lambda: window.points() > 5, "points of the curve", window.page)
    window.keep("running")


def reload(window):
    before = window.step()
    window.page.reload()
    expect(window.job).to_be_visible()
    wait_until(lambda: window.step() >= before, "the same job after a reload", window.page)
    expect(window.job.locator("h2")).to_have_text(NAME)
    now = window.step()
    window.wait_for_step(now + 1)


def look_from_elsewhere(window, visit, surroundings):
    other = visit(f"{window.name}-second")
    other.open()
    other.open_tab()
    other.inner_tab("tanren-tab-jobs", "Training jobs")
    other.page.locator(".tn-job-row", has_text=NAME).click()
    expect(other.job.locator("h2")).to_have_text(NAME)
    wait_until(lambda: other.points() > 0 and other.step() > 0, "the curve elsewhere", other.page)
    wait_until(lambda: abs(other.step() - window.step()) <= 1, "both to show the same", other.page)
    if surroundings.is_webui:
        ask_for_a_picture(other)
    other.close()


def ask_for_a_picture(window):
    window.page.locator("#tabs > .tab-nav > button", has_text="txt2img").click()
    window.page.locator("#txt2img_generate").click()
    told = window.page.locator("#txt2img_told").locator("textarea, input").first
    expect(told).to_have_value(re.compile(re.escape(NAME) + ".*is using this device"))
    window.keep("picture-refused")


def kill_and_restart(window, surroundings):
    (runner,) = surroundings.data_dir.rglob("runner.json")
    before = json.loads(runner.read_text("utf-8"))
    step = window.step()
    with window.without_server():
        surroundings.kill()
        expect(window.page.locator(".tn-live .tn-trouble")).to_be_visible()
        window.keep("program-killed")
        surroundings.start()
        expect(window.page.locator(".tn-live .tn-trouble")).to_be_hidden()
    wait_until(lambda: window.step() > step, "the job to be seen again", window.page)
    window.expect_state("running")
    assert json.loads(runner.read_text("utf-8")) == before


def look_at_samples(window):
    picture = window.job.locator(".tn-picture")
    window.wait_for_step(SAMPLE_EVERY + 1)
    wait_until(lambda: picture.evaluate("it => it.complete && it.naturalWidth") == 64, "a sample", window.page)
    window.job.locator(".tn-samples").focus()
    window.page.keyboard.press("Home")
    expect(window.job.locator(".tn-step")).to_have_text("before training")
    window.page.keyboard.press("End")
    expect(window.job.locator(".tn-step")).to_contain_text("step")


def stop_with_save(window):
    window.action("stop").click()
    window.expect_state("stopped")
    step = window.step()
    assert step < STEPS
    expect(window.job.locator(".tn-files tbody tr").first).to_contain_text(f"step {step}")
    expect(window.action("resume")).to_have_text(f"Continue from step {step}")
    window.keep("stopped")


def go_on_to_the_end(window):
    window.action("resume").click()
    window.wait_for_step(STEPS)
    window.expect_state("completed")
    assert window.step() == STEPS
    wait_until(lambda: window.points() == STEPS, "one point for each step", window.page)
    expect(window.job.locator(".tn-files tbody tr").first).to_contain_text(f"step {STEPS}")
    expect(window.job.locator(".tn-about")).to_contain_text("attempt 2")
    window.keep("completed")
    for title in ("Log", "Settings", "Command line"):
        window.job.locator(".tn-folded > summary", has_text=title).first.click()
    expect(window.job.locator(".tn-log").first).to_contain_text(f"{STEPS}/{STEPS}")
    expect(window.job.locator(".tn-settings")).to_contain_text("train_batch_size")
    expect(window.job.locator(".tn-command")).to_contain_text(f"--train_batch_size={BATCH}")


def look_in_the_dark_and_on_a_phone(window):
    window.page.evaluate("document.body.classList.add('dark')")
    window.page.wait_for_timeout(400)
    window.keep("dark")
    window.page.set_viewport_size(PHONE)
    window.page.wait_for_timeout(400)
    window.keep("phone-dark")
    assert window.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    window.page.evaluate("document.body.classList.remove('dark')")
    window.page.wait_for_timeout(400)
    window.keep("phone")
    window.page.set_viewport_size(DESK)
    for _ in range(window.job.locator(".tn-folded[open]").count()):
        window.job.locator(".tn-folded[open] > summary").first.click()


def use_it(window, surroundings):
    window.job.locator(".tn-files tbody tr").first.locator(".tn-main").click()
    dialog = window.page.locator("dialog[open]")
    expect(dialog).to_be_visible()
    window.keep("use", whole=False)
    window.answers_dialog()
    expect(window.job.locator(".tn-good")).to_contain_text(NAME)
    (copy,) = surroundings.lora_dir.glob("*.safetensors")
    assert copy.stem == NAME
    assert read_header(copy).metadata["ss_output_name"] == NAME
    assert Image.open(copy.with_name(f"{NAME}.preview.png")).size == (64, 64)
    card = json.loads(copy.with_suffix(".json").read_text("utf-8"))
    assert card["activation text"] == TRIGGER
    if surroundings.is_webui:
        window.job.locator(".tn-good button").click()
        prompt = window.page.locator("#txt2img_prompt textarea")
        expect(prompt).to_have_value(f"<lora:{NAME}:0.8> {TRIGGER}")
        expect(prompt).to_be_visible()
        window.keep("tried")
        window.open_tab()


def delete_the_job(window, surroundings):
    window.action("delete").click()
    window.keep("delete", whole=False)
    (job,) = surroundings.jobs()
    window.deletes(f"/api/jobs/{job['id']}")
    window.answers_dialog()
    # The words stand in the page from the beginning, out of sight while there are jobs.
    expect(window.page.locator(".tn-list").get_by_text("No jobs yet.")).to_be_visible()
    assert surroundings.jobs() == []
    assert len(list((surroundings.data_dir / "trash").iterdir())) == 1


def empty_the_cache(window, surroundings):
    pack = surroundings.data_dir / "cache" / "latents.pack"
    pack.parent.mkdir(exist_ok=True)
    pack.write_bytes(bytes(3 * 2**20))
    window.inner_tab("tanren-tab-environment", "Trainer environment")
    line = window.page.locator("#tanren-cache")
    expect(line).to_contain_text(re.compile(r"The cache holds 3(\.\d)? MiB\."))
    line.locator("[data-cache=empty]").click()
    window.answers_dialog()
    expect(line).to_contain_text("The cache is empty.")
    assert not pack.exists()
