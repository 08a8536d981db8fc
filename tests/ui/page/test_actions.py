"""Buttons of a job: what is legal, and a question before something ends."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
FAILED = "#tanren/20251008-221000-red"


def actions(page):
    return [button.get_attribute("data-action") for button in page.locator(".tn-actions button").all()]


def test_only_legal_actions_have_buttons(page, world):
    expect(page.locator("[data-action=stop]")).to_have_text("Stop and keep")
    assert actions(page) == ["stop", "pause", "save", "sample", "stop_now"]

    world.jobs["20251009-085320-crescent"].update(state="stopping", actions=["stop_now"], grace_seconds=60)

    expect(page.locator(".tn-actions button")).to_have_count(1)
    expect(page.locator(".tn-sentence")).to_contain_text("Saves and stops after this step; it is given 1 min")


def test_stop_and_keep_asks_the_server_at_once(page, world):
    page.locator("[data-action=stop]").click()

    expect(page.locator("[data-action=stop]")).to_be_enabled()
    assert world.gets_posted("20251009-085320-crescent/stop") == [{}]


def test_stop_now_asks_first_and_the_safe_button_has_the_focus(page, world):
    page.locator("[data-action=stop_now]").click()
    expect(page.locator("dialog")).to_contain_text("What was learned since the last save is lost.")
    expect(page.get_by_role("button", name="Go back")).to_be_focused()

    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert world.posted("/stop_now") == []

    page.locator("[data-action=stop_now]").click()
    page.get_by_role("button", name="Stop without saving", exact=True).click()
    expect(page.locator("dialog")).to_have_count(0)
    assert world.gets_posted("/stop_now") == [{}]


def test_delete_asks_whether_the_files_go_too_and_returns_to_the_list(page, world):
    page.locator(".tn-job-row", has_text="watercolour").click()
    page.locator("[data-action=delete]").click()
    page.get_by_label("The trained files go to the trash too").check()
    page.get_by_role("button", name="Delete this job").click()

    expect(page.locator(".tn-job h2")).to_have_text("三日月 crescent")
    assert world.gets_posted("20251007-190000-water/delete") == [{"with_outputs": True}]


def test_problem_card_says_what_why_and_what_to_do_and_has_the_buttons_that_mend_it(open_page, world):
    page = open_page(FAILED)
    card = page.locator(".tn-problem")

    expect(card.locator(".tn-what")).to_have_text("The GPU's memory (7.8 GB) was not enough: 8.1 GB were wanted.")
    expect(card).to_contain_text("Why: Batch 2 at 768×768 without gradient checkpointing.")
    expect(card).to_contain_text("What to do: Use batch 1, or switch gradient_checkpointing on.")
    card.get_by_role("button", name="Continue from step 2").click()

    expect(card.get_by_role("button", name="Continue from step 2")).to_be_enabled()
    assert world.gets_posted("20251008-221000-red/resume") == [{}]
    assert actions(page) == ["delete"]


def test_retry_after_too_little_memory_proposes_what_helps(open_page, world):
    page = open_page(FAILED)
    page.locator("[data-action=retry]").click()
    names = page.locator(".tn-change-name")
    expect(names.nth(0)).to_have_value("train_batch_size")
    expect(page.locator(".tn-change-value").nth(0)).to_have_value("1")
    names.nth(2).fill("--network_dim")
    page.locator(".tn-change-value").nth(2).fill("8")
    page.get_by_role("button", name="Put the new job into the queue").click()
    expect(page.locator("dialog")).to_have_count(0)

    [body] = world.gets_posted("20251008-221000-red/retry")
    assert body["changes"] == {"train_batch_size": 1, "gradient_checkpointing": True, "network_dim": 8}
    assert len(body["request_id"]) == 32


def test_retry_with_a_setting_that_does_not_exist_stays_in_the_dialog(open_page, world):
    page = open_page(FAILED)
    page.locator("[data-action=retry]").click()
    page.locator(".tn-change-name").nth(2).fill("network_dimm")
    page.get_by_role("button", name="Put the new job into the queue").click()

    assert page.locator(".tn-change-name").nth(2).evaluate("box => box.validationMessage") == (
        "There is no setting of this name."
    )
    assert world.posted("/retry") == []


def test_what_the_server_refuses_is_said(page, world):
    world.refusal = {"code": 9, "where": "", "what": "It has ended already.", "why": "", "fix": "Look again."}
    page.locator("[data-action=save]").click()

    expect(page.locator(".tn-job .tn-problem")).to_contain_text("It has ended already.")
    expect(page.locator(".tn-job .tn-problem")).to_contain_text("What to do: Look again.")
    expect(page.locator("[data-action=save]")).to_be_enabled()


def test_server_that_is_gone_is_said_at_the_button_too(page, server):
    expect(page.locator("[data-action=save]")).to_be_visible()
    server.stop()
    page.locator("[data-action=save]").click()

    expect(page.locator(".tn-job .tn-problem")).to_contain_text("The server could not be reached.")
    server.start()


def test_moving_in_the_queue(page, world):
    world.jobs["20251009-085500-flat"]["actions"] = ["withdraw", "up", "delete"]
    page.locator(".tn-job-row", has_text="flat colour style").click()
    page.locator("[data-action=up]").click()

    expect(page.locator("[data-action=up]")).to_be_enabled()
    assert world.gets_posted("20251009-085500-flat/up") == [{}]
