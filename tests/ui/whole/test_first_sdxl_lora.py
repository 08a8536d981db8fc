"""From an SDXL checkpoint to a LoRA in use, with a browser, in all three gradio lines: nobody names a command."""

from __future__ import annotations

import re
import shutil
import time

import pytest
from playwright.sync_api import expect
from tanren.formats.safetensors_header import read_header
from tiny_models import tiny_sd
from ui.whole.driver import wait_until
from ui.whole.running import Surroundings

pytestmark = [pytest.mark.browser, pytest.mark.rule("flt-07")]
MODEL, NAME, STEPS = "tags.safetensors", "moon XL", 2
UNDER_WAY = ("", "queued", "starting", "running")
PRESET = re.compile("Character · SDXL, 8 GB")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("sdxl") / MODEL, "sdxl")


@pytest.fixture
def surroundings(request, tmp_path, checkpoint):
    """The program with an SDXL model in its folder; Forge has nothing else, so that it is the one in use."""
    program = Surroundings(request.param, tmp_path / "place")
    program.root.mkdir()
    program.prepare()
    models = program.root / "models" / "Stable-diffusion"
    shutil.copyfile(checkpoint, models / MODEL)
    if program.line == 4:
        (models / "base.safetensors").unlink()
    program.start()
    yield program
    program.end_everything()


@pytest.mark.parametrize("surroundings", [6, 3, 4], indirect=True, ids=["alone", "A1111", "Forge"])
def test_from_an_sdxl_checkpoint_to_a_lora_in_use(surroundings, visit, pictures):
    window = visit(f"sdxl{surroundings.line}")
    window.open()
    window.open_tab()
    if surroundings.line != 4:
        window.choose("#tanren-field-pretrained_model_name_or_path", MODEL)
    see_the_form_of_sdxl(window)
    name_the_pictures(window, pictures)
    if surroundings.line == 6:
        mend_with_one_click(window)
        train_the_text_encoders_too(window)
    make_it_short(window)
    train(window)
    use_it(window, surroundings)
    window.close()
    surroundings.kill()
    # A trainer takes a moment to let go of its libraries.
    until = time.monotonic() + 120
    while surroundings.left_over() and time.monotonic() < until:
        time.sleep(0.2)
    assert surroundings.left_over() == []


def see_the_form_of_sdxl(window):
    expect(window.page.locator("#tanren-about-model").first).to_contain_text("Stable Diffusion XL")
    expect(window.page.locator("#tanren-about-model").first).to_contain_text("sdxl_train_network")
    expect(window.page.locator("#tanren-preset input").first).to_have_value(PRESET)
    expect(window.page.locator("#tanren-about-preset").first).to_contain_text("GPU with 8 GB.")
    expect(window.box("resolution")).to_have_value("1024,1024")
    window.page.locator("#tanren-view").get_by_text("All settings").click()
    window.search("text_encoder_lr1")
    window.search("text_encoder_lr2")
    window.page.locator("#tanren-search").locator("textarea, input").first.fill("text encoder")
    expect(window.box("text_encoder_lr1")).to_be_visible()
    expect(window.box("text_encoder_lr")).not_to_be_visible()
    window.keep("form")


def name_the_pictures(window, pictures):
    window.fill("pictures", str(pictures))
    window.fill("output_name", NAME)
    expect(window.plan).to_contain_text("12 pictures × 10 repeats × 8 epochs ÷ batch 1 = 960 steps")


def mend_with_one_click(window):
    window.search("shuffle_caption")
    window.box("shuffle_caption").check()
    window.plan.get_by_role("button", name="Turn off shuffling").click()
    expect(window.box("shuffle_caption")).not_to_be_checked()
    expect(window.plan.get_by_role("button", name="Turn off shuffling")).to_have_count(0)


def train_the_text_encoders_too(window):
    window.choose("#tanren-preset", "16 to 24 GB")
    expect(window.plan).to_contain_text("Text encoders: ")
    expect(window.page.locator("#tanren-about-preset").first).to_contain_text("trigger words hold better")


def make_it_short(window):
    window.fill("resolution", "64")
    window.page.locator("#tanren-field-length_unit").get_by_text("steps", exact=True).click()
    window.fill("length", str(STEPS))
    expect(window.plan).to_contain_text(f"{STEPS} steps")
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "true")
    window.keep("plan")


def train(window):
    window.start.click()
    expect(window.job.locator("h2")).to_have_text(NAME)
    state = window.job.locator(".tn-state").first
    wait_until(lambda: state.inner_text() not in UNDER_WAY, "the end of the training", window.page, seconds=900)
    window.expect_state("completed")
    window.keep("completed")


def use_it(window, surroundings):
    window.job.locator(".tn-files tbody tr").first.locator(".tn-main").click()
    window.answers_dialog()
    expect(window.job.locator(".tn-good")).to_contain_text(NAME)
    (copy,) = surroundings.lora_dir.glob("*.safetensors")
    header = read_header(copy)
    parts = {re.match("lora_[a-z0-9]+", name)[0] for name in header.tensors}
    assert header.metadata["ss_base_model_version"] == "sdxl_base_v1-0"
    assert parts == ({"lora_unet", "lora_te1", "lora_te2"} if surroundings.line == 6 else {"lora_unet"})
