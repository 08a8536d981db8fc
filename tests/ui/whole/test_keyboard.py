"""A training is set up, started and ended by somebody who has no mouse."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from ui.whole.driver import wait_until

pytestmark = pytest.mark.browser
MOST_KEYS = 80


def test_the_keyboard_alone_starts_and_ends_a_training(surroundings, visit, pictures):
    window = visit("keyboard")
    window.open()
    window.open_tab()
    keys = window.page.keyboard
    for field, text in (("pictures", str(pictures)), ("output_name", "moon"), ("trigger", "sks")):
        go_to(window, f"#tanren-field-{field}")
        keys.type(text)
    expect(window.plan).to_contain_text("12 pictures")
    expect(window.plan.locator("[data-can-start]")).to_have_attribute("data-can-start", "true")

    go_to(window, "#tanren-start")
    window.keep("at-start", whole=False)
    keys.press("Enter")

    expect(window.job.locator("h2")).to_have_text("moon")
    expect(window.action("stop_now")).to_be_visible()
    go_to(window, "[data-action=stop_now]")
    keys.press("Enter")
    expect(window.page.locator("dialog[open]")).to_be_visible()
    go_to(window, "dialog[open] .tn-danger")
    keys.press("Enter")
    window.expect_state("stopped")
    # A quick machine may save between the two signals that end a training.
    told = re.compile("ended at once, without saving|Stopped and kept")
    expect(window.job.locator(".tn-sentence")).to_have_text(told)
    wait_until(lambda: len(surroundings.left_over()) == 1, "only the page's program to be left", window.page)


def go_to(window, selector):
    """Press Tab until the focus is inside of something."""
    for _ in range(MOST_KEYS):
        if window.page.evaluate("(it) => Boolean(document.activeElement.closest(it))", selector):
            return
        window.page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by Tab")
