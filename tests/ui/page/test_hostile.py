"""Names, prompts and log lines that try to be code stay text, wherever they are shown."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from ui.page.stories import settings

pytestmark = pytest.mark.browser

EVIL = '"><img src=x onerror="window.hit=1"><script>window.hit=1</script><svg onload="window.hit=1">javascript:hit=1'
PLAN = """
<div id="tanren-form"><div id="tanren-field-network_dim"><label><span>Rank</span><input></label></div></div>
<div id="tanren-plan"></div>
"""


def poisoned(value, keep=()):
    """The same content with every text replaced."""
    if isinstance(value, str):
        return EVIL
    if isinstance(value, dict):
        return {name: inner if name in keep else poisoned(inner, keep) for name, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(inner, keep) for inner in value]
    return value


@pytest.fixture
def hostile(world):
    keep = ("id", "state", "phase", "actions", "points")
    for job in world.jobs.values():
        job["settings"] = settings()
        job["unfinished"] = "x"
        job["problem"] = {"code": 6, "where": "x", "what": "x", "why": "x", "fix": "x"}
        job.update(poisoned(job, keep))
        job["points"]["lr"] = {EVIL: [0.1] * len(job["points"]["step"])}
    world.state |= {"device": poisoned(world.state["device"]), "checkpoint": poisoned(world.state["checkpoint"])}
    world.state |= {"may_write": True, "why_not": EVIL}
    world.environment = {"state": EVIL, "why": EVIL, "busy": False, "lines": [EVIL], "problem": {"what": EVIL}}
    world.refusal = {"code": 2, "where": EVIL, "what": EVIL, "why": EVIL, "fix": EVIL}
    world.body += '<div id="tanren-environment"></div>' + PLAN
    return world


def untouched(page):
    assert page.evaluate("window.hit") is None
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("script").count() == 1
    for address in page.locator("a").evaluate_all("links => links.map((link) => link.href)"):
        assert address == "" or address.startswith("http://127.0.0.1")


def test_nothing_that_a_job_says_is_run(open_page, hostile):
    page = open_page()
    expect(page.locator(".tn-job h2")).to_have_text(EVIL)
    for summary in page.locator("summary:visible").all():
        summary.click()
    expect(page.locator(".tn-log").first).to_contain_text("onerror")
    expect(page.locator("#tanren-environment")).to_contain_text("onerror")
    page.locator("[data-action=save]").click()
    expect(page.locator(".tn-problem").first).to_contain_text("onerror")
    page.locator("[data-action=stop_now]").click()
    expect(page.locator("dialog")).to_contain_text("onerror")
    page.keyboard.press("Escape")

    untouched(page)


def test_dialogs_show_hostile_names_as_text(open_page, hostile):
    page = open_page("#tanren/20251008-221000-red")
    page.locator(".tn-problem [data-action=retry]").click()
    expect(page.locator("dialog h3")).to_contain_text("onerror")
    page.get_by_role("button", name="Put the new job into the queue").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Use this epoch").first.click()
    expect(page.locator("dialog h3")).to_contain_text("onerror")
    page.get_by_role("button", name="Copy it there").click()

    untouched(page)


def test_problems_at_fields_are_text(open_page, hostile):
    page = open_page()
    page.evaluate(
        """(evil) => { const problem = document.createElement("p"); problem.dataset.field = "network_dim";
        problem.textContent = evil; document.getElementById("tanren-plan").append(problem); }""",
        EVIL,
    )

    expect(page.locator("#tanren-problem-network_dim")).to_have_text(EVIL)
    untouched(page)


def test_signs_that_turn_text_around_are_left_out_and_long_texts_are_cut(open_page, world):
    job = world.jobs["20251009-085320-crescent"]
    job["name"] = "safe\u202egnp.exe\u0000"
    job["warnings"] = ["w" * 20_000]
    page = open_page()

    expect(page.locator(".tn-job h2")).to_have_text("safegnp.exe")
    assert len(page.locator("div.tn-warning li").text_content()) == 10_001
