"""Log, settings and command line of a job."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def folded(page, title):
    section = page.locator("details", has_text=title)
    section.locator("summary").click()
    return section


def test_log_is_asked_for_only_when_it_is_open(page, world):
    expect(page.locator(".tn-sentence")).to_contain_text("step 120")
    assert not [path for _, path, _ in world.asked if path.endswith("/log")]

    log = folded(page, "Log of this job")

    expect(log.locator("pre")).to_contain_text("line 39 of the log")
    assert log.locator("pre").evaluate("box => box.scrollHeight - box.scrollTop - box.clientHeight") < 2


def test_log_follows_and_can_be_held(page, world):
    job = world.jobs["20251009-085320-crescent"]
    log = folded(page, "Log of this job")
    expect(log.locator("pre")).to_contain_text("line 39 of the log")
    job["log"] += "line 40\n"
    expect(log.locator("pre")).to_contain_text("line 40")

    log.get_by_role("button", name="Hold the log").click()
    job["log"] += "line 41\n"
    page.wait_for_timeout(1500)
    assert "line 41" not in log.locator("pre").text_content()

    log.get_by_role("button", name="Follow the log").click()
    expect(log.locator("pre")).to_contain_text("line 41")


def test_line_that_is_being_written_is_replaced(page, world):
    job = world.jobs["20251009-085320-crescent"]
    job["unfinished"] = "steps: 43%"
    log = folded(page, "Log of this job")
    expect(log.locator("pre")).to_contain_text("steps: 43%")

    job["unfinished"] = "steps: 44%"

    expect(log.locator("pre")).to_contain_text("steps: 44%")
    expect(log.locator("pre")).not_to_contain_text("steps: 43%")


def test_log_and_command_line_can_be_copied(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    section = folded(page, "Command line of this job")
    section.get_by_role("button", name="Copy as command line").click()

    expect(section.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == (
        'train_network.py --train_data_dir "/pictures/学習 データ (1)" --network_dim 16'
    )


def test_copying_works_on_plain_http_too(page):
    page.evaluate("Object.defineProperty(window, 'isSecureContext', {value: false})")
    section = folded(page, "Command line of this job")
    section.get_by_role("button", name="Copy as command line").click()

    expect(section.get_by_role("button", name="Copied")).to_be_visible()


def test_settings_show_changed_ones_first_and_can_be_searched(page):
    section = folded(page, "Settings of this job")
    names = section.locator("dt:visible")

    expect(names.first).to_have_text("train_batch_size changed")
    expect(names.nth(10)).to_have_text("seed")
    section.get_by_label("Search in these settings").fill("DIM")
    expect(names).to_have_text(["network_dim changed"])
    section.get_by_label("Search in these settings").fill("nothing like it")
    expect(section.locator(".tn-nothing")).to_be_visible()


def test_warnings_are_listed_and_many_are_folded(page, world):
    expect(page.locator("div.tn-warning li")).to_have_text(["2 pictures look alike: 003.png and 007.png."])

    world.jobs["20251009-085320-crescent"]["warnings"] = [f"warning {number}" for number in range(8)]

    expect(page.locator("div.tn-warning details summary")).to_have_text("3 more warnings")
