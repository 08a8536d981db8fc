"""Sample pictures: the newest large, earlier ones of the same prompt and seed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from ui.page.stories import sample

pytestmark = pytest.mark.browser


@pytest.fixture
def viewer(page):
    viewer = page.locator(".tn-samples")
    expect(viewer.locator(".tn-step")).to_have_text("step 110 · epoch 2")
    return viewer


def shown(viewer):
    return (viewer.locator("img").get_attribute("src") or "").rpartition("/")[2]


def test_newest_picture_is_shown_with_its_prompt_and_seed(viewer):
    assert shown(viewer) == "crescent_000110_00_42.png"
    expect(viewer.locator(".tn-caption")).to_have_text("Seed 42 · a crescent moon over a hill, night")
    expect(viewer.locator("select")).to_have_value("1. a crescent moon over a hill, night")


def test_slider_goes_through_the_steps_of_the_same_prompt(viewer):
    viewer.locator("input[type=range]").fill("0")

    expect(viewer.locator(".tn-step")).to_have_text("before training")
    assert shown(viewer) == "crescent_000000_00_42.png"


def test_arrow_keys_change_prompt_and_step(page, viewer):
    viewer.focus()
    page.keyboard.press("ArrowRight")
    expect(viewer.locator(".tn-caption")).to_contain_text("a crescent on a blue flag")
    assert shown(viewer) == "crescent_000110_01_43.png"

    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(viewer.locator(".tn-step")).to_have_text("before training")
    page.keyboard.press("ArrowUp")
    expect(viewer.locator(".tn-missing")).to_have_text("This prompt has no picture at step 55.")
    page.keyboard.press("ArrowLeft")
    assert shown(viewer) == "crescent_000055_00_42.png"
    expect(viewer.locator(".tn-missing")).to_be_hidden()


def test_new_sample_is_shown_at_once_while_the_newest_is_in_sight(viewer, world):
    world.jobs["20251009-085320-crescent"]["samples"].append(sample(165))

    expect(viewer.locator(".tn-step")).to_have_text("step 165 · epoch 3")


def test_new_sample_does_not_take_an_older_one_away(page, viewer, world):
    viewer.focus()
    page.keyboard.press("Home")
    world.jobs["20251009-085320-crescent"]["samples"].append(sample(165))

    expect(viewer.locator("input[type=range]")).to_have_attribute("max", "3")
    expect(viewer.locator(".tn-step")).to_have_text("before training")
    viewer.get_by_role("button", name="Newest sample").click()
    expect(viewer.locator(".tn-step")).to_have_text("step 165 · epoch 3")


def test_picture_that_is_gone_is_said(viewer, world):
    gone = {**sample(165), "file": "gone.png"}
    world.jobs["20251009-085320-crescent"]["samples"].append(gone)

    expect(viewer.locator(".tn-missing")).to_have_text("This picture is not there any more.")
    expect(viewer.locator("img")).to_be_hidden()


def test_no_samples_yet(page):
    page.locator(".tn-job-row", has_text="flat colour style").click()

    expect(page.locator(".tn-samples .tn-nothing")).to_have_text("No sample pictures yet.")


def test_several_strengths_stand_side_by_side_and_keep_what_was_drawn_once(page, viewer, world):
    prompt = {"prompt": "a person", "seed": 5, "index": 0, "epoch": 0}
    drawn = [(0, -1.0), (0, 0.0), (0, 1.0), (25, -1.0), (25, 1.0), (50, -1.0), (50, 1.0)]
    world.jobs["20251009-085320-crescent"]["samples"] = [
        {**prompt, "file": f"slider_{step}_x{strength:+g}.png", "step": step, "strength": strength}
        for step, strength in drawn
    ]

    labels = viewer.locator(".tn-at-strength .tn-strength")
    expect(labels).to_have_text(["at strength -1", "without it (strength 0)", "at strength +1"])
    files = [picture.get_attribute("src").rpartition("/")[2] for picture in viewer.locator("img").all()]
    assert files == ["slider_50_x-1.png", "slider_0_x%2B0.png", "slider_50_x%2B1.png"]
    expect(viewer.locator("select")).to_have_value("1. a person")
    viewer.focus()
    page.keyboard.press("Home")
    expect(viewer.locator("img").first).to_have_attribute("src", re.compile("slider_0_x-1.png"))
    expect(viewer.locator(".tn-step")).to_have_text("before training")


def test_a_control_picture_stands_beside_what_was_drawn_from_it(page, viewer, world):
    (name, *_) = world.jobs
    prompt = {"prompt": "a hat", "seed": 1, "index": 0, "epoch": 1, "control": "/pictures/線 (1)/a b.png"}
    world.jobs[name]["samples"] = [{**prompt, "file": f"hat_{step}.png", "step": step} for step in (0, 10)]

    labels = viewer.locator(".tn-at-strength .tn-strength")
    expect(labels).to_have_text(["control picture", "what was drawn"])
    address = viewer.locator(".tn-control").get_attribute("src")
    assert address.endswith("data/picture?path=%2Fpictures%2F%E7%B7%9A+%281%29%2Fa+b.png&side=320")


def test_a_control_picture_that_is_gone_leaves_no_frame(page, viewer, world):
    (name, *_) = world.jobs
    prompt = {"prompt": "a hat", "seed": 1, "index": 0, "epoch": 1, "control": "/gone.png"}
    world.jobs[name]["samples"] = [{**prompt, "file": "hat.png", "step": 10}]

    expect(viewer.locator(".tn-at-strength .tn-strength")).to_have_text(["what was drawn"])
