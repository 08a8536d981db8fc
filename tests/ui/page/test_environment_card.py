"""The card of the trainer's environment."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
PLAN = {"folder": "/tanren/.venv", "download": 2_900_000_000, "on_disk": 6_500_000_000}


@pytest.fixture
def card(open_page, world):
    world.body = '<div id="tanren-environment"></div>'
    world.environment["plan"] = PLAN
    return open_page().locator("#tanren-environment")


def test_says_what_will_be_installed_before_anything_happens(card, world):
    expect(card).to_contain_text("The trainer is not set up yet.")
    expect(card).to_contain_text("Up to 2.7 GiB are downloaded and 6.1 GiB are used on the disk, in /tanren/.venv.")
    assert world.posted("environment/setup") == []


def test_set_up_shows_progress_and_can_be_cancelled(card, world):
    card.get_by_role("button", name="Set up now").click()
    world.environment |= {"busy": True, "lines": ["Making the environment", "Installing torch 2.13.0"]}

    expect(card.locator("strong")).to_have_text("Setting up…")
    expect(card.locator("[role=status]").last).to_have_text("Installing torch 2.13.0")
    card.get_by_role("button", name="Cancel the set-up").click()

    expect(card.get_by_role("button", name="Cancel the set-up")).to_be_visible()
    assert world.gets_posted("environment/setup") == [{}]
    assert world.gets_posted("environment/cancel") == [{}]


@pytest.mark.parametrize(
    ("state", "word", "button"),
    [
        ("ready", "The trainer is ready.", "Repair by making it anew…"),
        ("unfinished", "An earlier set-up was not finished.", "Set up again"),
        ("outdated", "The trainer needs newer packages.", "Update the environment"),
        ("broken", "The trainer's environment is damaged.", "Repair by making it anew…"),
    ],
)
def test_every_state_has_its_word_and_button(card, world, state, word, button):
    world.environment |= {"state": state, "why": "torch 2.13.0 is missing"}
    card.page.reload()

    expect(card.locator("strong")).to_have_text(word)
    expect(card.get_by_role("button")).to_have_text([button])
    expect(card).to_contain_text("torch 2.13.0 is missing")


def test_repair_asks_first(card, world):
    world.environment |= {"state": "broken", "why": ""}
    card.page.reload()
    card.get_by_role("button", name="Repair by making it anew…").click()
    expect(card.locator("dialog")).to_contain_text("Its folder is emptied and all packages are installed again.")
    assert world.posted("environment/repair") == []
    card.get_by_role("button", name="Make it anew").click()

    expect(card.locator("dialog")).to_have_count(0)
    assert world.gets_posted("environment/repair") == [{}]


def test_problem_of_a_set_up_is_shown_with_its_fix(card, world):
    world.environment |= {
        "state": "unfinished",
        "problem": {"what": "torch could not be downloaded.", "fix": "Try again."},
    }
    card.page.reload()

    expect(card.locator(".tn-problem")).to_contain_text("torch could not be downloaded.")
    expect(card.locator(".tn-problem")).to_contain_text("Try again.")
