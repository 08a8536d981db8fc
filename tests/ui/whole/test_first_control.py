"""From the first click to a control network, with a browser: pairs, edges, training, samples, and where it goes."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect
from tanren.formats.safetensors_header import read_header
from ui.whole.driver import wait_until

pytestmark = pytest.mark.browser
NAME, STEPS = "edges (輪郭)", 6
UNDER_WAY = ("", "queued", "starting", "running")
FILE = "月 03.png"


@pytest.mark.parametrize("surroundings", [6, 3, 4], indirect=True, ids=["alone", "A1111", "Forge"])
def test_from_the_first_click_to_a_control_network(surroundings, visit, pictures):
    window = visit(f"control{surroundings.line}")
    window.open()
    window.open_tab()
    choose_what_to_do(window)
    edges = name_pictures_and_make_edges(window, pictures)
    see_what_is_missing_and_make_it(window, edges)
    find_other_kinds(window, pictures)
    make_it_short(window)
    if surroundings.line == 6:
        train(window)
        see_samples(window, edges)
        use_it(window, surroundings)
    window.close()
    surroundings.kill()
    # A trainer takes a moment to let go of its libraries.
    until = time.monotonic() + 120
    while surroundings.left_over() and time.monotonic() < until:
        time.sleep(0.2)
    assert surroundings.left_over() == []


def choose_what_to_do(window):
    window.page.locator("#tanren-field-goal").get_by_text("ControlNet-LLLite").click()
    about = window.page.locator("#tanren-about-model").first
    expect(about).to_contain_text("This trains a control network")
    expect(about).to_contain_text("sdxl_train_control_net_lllite")
    # The base model was one of another kind, for which there are no such networks.
    expect(window.box("pretrained_model_name_or_path")).to_have_value(re.compile("micro-SDXL"))
    expect(window.page.locator("#tanren-preset input").first).to_have_value(
        re.compile("Quick try of ControlNet-LLLite")
    )
    expect(window.page.locator("#tanren-field-output_name")).to_contain_text("Name of the control network")
    expect(window.page.locator("#tanren-field-pictures")).to_contain_text("Folder of the pictures")
    expect(window.box("trigger")).not_to_be_visible()
    expect(window.plan).to_contain_text("96 of 96 pictures have their control picture.")


def name_pictures_and_make_edges(window, pictures):
    window.fill("pictures", str(pictures))
    window.fill("control_pictures", "")
    window.fill("output_name", NAME)
    at_field = window.page.locator("#tanren-field-control_pictures .tanren-at-field")
    expect(at_field).to_contain_text("The folder of control pictures was not named.")
    window.keep("unnamed")
    window.plan.get_by_role("button", name="Make edge pictures now").click()
    edges = pictures.with_name(f"{pictures.name}_edges")
    expect(window.box("control_pictures")).to_have_value(str(edges))
    expect(window.page.locator("#tanren-edges")).to_contain_text("12 pictures were made")
    expect(window.plan).to_contain_text("12 of 12 pictures have their control picture.")
    return edges


def see_what_is_missing_and_make_it(window, edges):
    (edges / FILE).rename(edges / "other.png")
    window.fill("control_pictures", f"{edges} ")
    expect(window.plan).to_contain_text("11 of 12 pictures have their control picture.")
    window.plan.locator("summary", has_text="1 picture without a control picture").click()
    expect(window.plan.locator(".tanren-pairs li", has_text=FILE)).to_be_visible()
    window.keep("missing")
    (edges / "other.png").unlink()
    window.plan.get_by_role("button", name="Make edge pictures now").click()
    expect(window.plan).to_contain_text("12 of 12 pictures have their control picture.")


def find_other_kinds(window, pictures):
    window.plan.get_by_role("button", name="Other kinds: open the tools for pictures").click()
    expect(window.page.locator("#tanren-data-folder")).to_have_value(str(pictures))
    expect(window.page.locator("#tanren-data-tool [data-form=canny]")).to_be_visible()
    window.keep("tools", whole=False)
    window.inner_tab("tanren-tab-train", "Train a LoRA")


def make_it_short(window):
    window.fill("length", str(STEPS))
    window.page.locator("#tanren-view").get_by_text("All settings").click()
    for field, value in (("train_batch_size", "4"), ("sample_every_n_steps", "6"), ("save_every_n_steps", "")):
        window.search(field)
        window.fill(field, value)
    window.search("sample_at_first")
    window.box("sample_at_first").uncheck()
    window.search("network_dim")
    expect(window.page.locator("#tanren-field-network_dim")).to_contain_text("Network width (dim)")
    expect(window.page.locator("#tanren-field-network_dim .tanren-flag-name")).to_have_text("network_dim")
    expect(window.plan).to_contain_text(f"{STEPS} steps = 2 epochs")
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "true")
    window.keep("plan")


def train(window):
    window.start.click()
    expect(window.job.locator("h2")).to_have_text(NAME)
    state = window.job.locator(".tn-state").first
    wait_until(lambda: state.inner_text() not in UNDER_WAY, "the end of the training", window.page, seconds=900)
    window.expect_state("completed")


def see_samples(window, edges):
    pictures = window.job.locator(".tn-samples img")
    expect(window.job.locator(".tn-samples .tn-strength")).to_have_text(["control picture", "what was drawn"])
    expect(pictures).to_have_count(2)
    wait_until(lambda: pictures.evaluate_all("all => all.every(one => one.naturalWidth === 64)"), "them", window.page)
    (prompts,) = edges.parents[1].rglob("runs/*/prompts.txt")
    assert [line.partition(" --cn ")[2] for line in prompts.read_text("utf-8").splitlines()] == [
        str(edges / name) for name in ("月 00.png", "月 05.png", "月 11.png")
    ]
    window.keep("completed")


def use_it(window, surroundings):
    target = surroundings.root / "models" / "ControlNet"
    window.job.locator(".tn-files tbody tr").first.locator(".tn-main").click()
    window.page.locator("dialog[open] input").first.fill(str(target))
    window.answers_dialog()
    expect(window.job.locator(".tn-good")).to_contain_text(str(target))
    (copy,) = target.iterdir()
    header = read_header(copy)
    assert all(name.startswith("lllite_unet_") for name in header.tensors)
    assert header.metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/control-net-lllite"
