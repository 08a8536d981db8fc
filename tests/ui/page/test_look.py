"""Narrow and wide, dark and light, by keyboard; pictures of it go where TANREN_SCREENSHOTS says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
RUNNING = "#tanren/20251009-085320-crescent"
PHONE = {"width": 390, "height": 844}


def keep(page, name):
    folder = os.environ.get("TANREN_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


def open_records(page):
    for summary in page.locator(".tn-job .tn-folded > summary").all():
        summary.click()
    expect(page.locator(".tn-log").first).to_contain_text("line 39")


@pytest.mark.parametrize("hash", [RUNNING, "#tanren/20251008-221000-red", ""])
def test_phone_shows_everything_without_scrolling_sideways(open_page, world, hash):
    job = world.jobs["20251009-085320-crescent"]
    job["name"] = "averyveryverylongnamewithoutanyblankthatcouldbebrokenanywhereatall" * 2
    job["files"][1]["name"] = "x" * 120 + ".safetensors"
    job["log"] += "y" * 500
    page = open_page(hash, viewport=PHONE)
    expect(page.locator("h2:visible, .tn-job-row:visible").first).to_be_visible()
    if hash:
        open_records(page)
    keep(page, f"phone{hash[-4:]}".replace("#", ""))

    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_phone_shows_stop_without_scrolling(open_page):
    page = open_page(RUNNING, viewport=PHONE)
    stop = page.locator("[data-action=stop]")
    expect(stop).to_be_visible()

    box = stop.bounding_box()
    assert box["y"] + box["height"] < 844
    assert box["height"] >= 34


def test_phone_goes_from_list_to_job_and_back(open_page):
    page = open_page(viewport=PHONE)
    page.locator(".tn-job-row", has_text="watercolour").click()
    expect(page.locator(".tn-job h2")).to_be_focused()
    expect(page.locator(".tn-list")).to_be_hidden()

    page.get_by_role("button", name="All jobs").click()

    expect(page.locator(".tn-list")).to_be_visible()
    expect(page.locator(".tn-job")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page, theme):
    page = open_page(RUNNING, query="?class=dark" if theme == "dark" else "")
    expect(page.locator(".tn-canvas").first).to_have_attribute("data-points", "120")
    open_records(page)
    page.wait_for_timeout(300)
    keep(page, theme)

    # The main button has the colours of the user's theme.
    button = ".tn-button:not(.tn-main):not(:disabled)"
    for selector in ("h2", ".tn-soft", ".tn-state", ".tn-facts dd", button, ".tn-log", ".tn-warning", ".tn-values"):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page, selector):
    """The ratio of WCAG 2.2 between an element's text and what lies behind it."""
    return page.evaluate(
        """(selector) => {
        const parse = (text) => (text.match(/[\\d.]+/g) || [])
            .map((part) => Number(part) * (text.startsWith("color(srgb") ? 255 : 1));
        const light = (colour) => { const [r, g, b] = colour.slice(0, 3).map((part) => { const share = part / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4; });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const node = [...document.querySelectorAll(selector)].find((one) => one.getClientRects().length);
        let ground = node, colour;
        do { colour = parse(getComputedStyle(ground).backgroundColor); ground = ground.parentElement; }
        while (ground && colour.length === 4 && colour[3] === 0);
        const [one, two] = [light(parse(getComputedStyle(node).color)), light(colour)].sort((a, b) => b - a);
        return (one + 0.05) / (two + 0.05); }""",
        selector,
    )


def test_every_control_is_reached_by_tab_and_shows_it(page):
    expect(page.locator("[data-action=stop]")).to_be_visible()
    reached, without_ring = set(), []
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate("""() => { const node = document.activeElement; const style = getComputedStyle(node);
            return [node.dataset.action || node.className, style.outlineStyle, node === document.body]; }""")
        if found[2]:
            break
        reached.add(found[0].split(" ")[0] or found[0])
        if found[1] == "none" and not found[0].startswith("tn-slider"):
            without_ring.append(found[0])

    assert {"tn-job-row", "stop", "stop_now", "tn-canvas", "tn-section", "tn-button"} <= reached
    assert without_ring == []


def test_no_motion_for_those_who_do_not_want_it(open_page, world):
    world.jobs["20251009-085320-crescent"].update(phase="load", done=None, total=None)
    page = open_page(RUNNING, reduced_motion="reduce")
    expect(page.locator(".tn-job .tn-bar[data-open]")).to_be_visible()

    assert page.locator(".tn-job .tn-bar-fill").evaluate("bar => getComputedStyle(bar).animationName") == "none"


def test_style_touches_nothing_outside_of_our_own_parts(open_page, world):
    world.body += '<button class="other" hidden>host</button><h3 class="other">host</h3><input class="other">'
    page = open_page()
    expect(page.locator(".tn-job-row")).to_have_count(5)

    selectors = page.evaluate("""() => [...document.styleSheets].filter((sheet) => sheet.href)
        .flatMap((sheet) => [...sheet.cssRules]).flatMap((rule) => rule.cssRules ? [rule, ...rule.cssRules] : [rule])
        .filter((rule) => rule.selectorText).flatMap((rule) => rule.selectorText.split(/,(?![^(]*\\))/))""")

    assert len(selectors) > 100
    strangers = [one for one in selectors if "tanren" not in one]
    assert strangers == []
