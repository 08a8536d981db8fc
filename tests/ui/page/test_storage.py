"""Deleted jobs and the cache: what is there, and a question before something goes for good."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
MOON = {"id": "20251001-120000-moon", "name": "月 moon", "created": 1_759_320_000.0, "bytes": 3 * 2**20}
STAR = {"id": "20251002-120000-star", "name": "star", "created": 0, "bytes": 2048}


@pytest.fixture
def trash(page, world):
    world.trash = {job["id"]: job for job in (STAR, MOON)}
    fold = page.locator(".tn-trash")
    fold.locator("summary").click()
    return fold


def test_without_deleted_jobs_nothing_is_said_of_them(page):
    expect(page.locator(".tn-job-row")).to_have_count(5)
    expect(page.locator(".tn-trash")).to_be_hidden()


def test_deleted_jobs_are_listed_with_their_size(trash):
    expect(trash.locator("summary")).to_have_text("Deleted jobs (2)")
    expect(trash.locator("li")).to_have_count(2)
    expect(trash.locator("li").nth(0)).to_contain_text("star2 KiB")
    expect(trash.locator("li").nth(1)).to_contain_text("3 MiB")


def test_a_deleted_job_is_put_back_at_once(trash, world):
    trash.locator("li", has_text="月 moon").get_by_role("button", name="Put back").click()

    expect(trash.locator("li")).to_have_count(1)
    expect(trash.locator("summary")).to_have_text("Deleted jobs (1)")
    assert world.gets_posted(f"trash/{MOON['id']}/put_back") == [{}]


def test_for_good_is_asked_first(trash, world):
    row = trash.locator("li", has_text="月 moon")
    row.get_by_role("button", name="Delete for good…").click()
    dialog = trash.page.locator("dialog")
    expect(dialog).to_contain_text("Delete “月 moon” for good?")
    expect(dialog).to_contain_text("3 MiB are freed. This cannot be undone.")
    expect(trash.page.get_by_role("button", name="Go back")).to_be_focused()
    trash.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert world.posted("/remove") == []

    row.get_by_role("button", name="Delete for good…").click()
    trash.page.get_by_role("button", name="Delete for good", exact=True).click()

    expect(trash.locator("li")).to_have_count(1)
    assert world.gets_posted(f"trash/{MOON['id']}/remove") == [{}]


def test_what_the_server_refuses_is_said_beside_the_list(trash, world):
    world.refusal = {"code": 2, "where": "", "what": "A job of that name is there already.", "why": "", "fix": ""}
    trash.locator("li").first.get_by_role("button", name="Put back").click()

    expect(trash.locator(".tn-problem")).to_contain_text("A job of that name is there already.")
    expect(trash.locator("li")).to_have_count(2)


def test_who_may_only_watch_sees_no_buttons_there(open_page, world):
    world.state |= {"may_write": False, "why_not": "The server listens to the network."}
    world.trash = {MOON["id"]: MOON}
    page = open_page()
    page.locator(".tn-trash > summary").click()

    expect(page.locator(".tn-trash li")).to_have_count(1)
    expect(page.locator(".tn-trash button")).to_have_count(0)


@pytest.fixture
def cache(open_page, world):
    world.body = '<div id="tanren-cache"></div>'
    world.cached = 5 * 2**30
    return open_page().locator("#tanren-cache")


def test_the_cache_says_its_size_and_is_emptied_after_a_question(cache, world):
    expect(cache).to_contain_text("The cache holds 5 GiB.")
    cache.get_by_role("button", name="Empty the cache…").click()
    expect(cache.locator("dialog")).to_contain_text("5 GiB are freed.")
    assert world.posted("cache/empty") == []
    cache.get_by_role("button", name="Empty the cache", exact=True).click()

    expect(cache).to_contain_text("The cache is empty.")
    expect(cache.get_by_role("button")).to_have_count(0)
    assert world.gets_posted("cache/empty") == [{}]


def test_while_a_job_runs_the_cache_stays_and_that_is_said(cache, world):
    what = "'moon' is running and reads the cache."
    world.refusal = {"code": 9, "where": "", "what": what, "why": "", "fix": "Wait until it ends."}
    cache.get_by_role("button", name="Empty the cache…").click()
    cache.get_by_role("button", name="Empty the cache", exact=True).click()

    expect(cache.locator(".tn-problem")).to_contain_text(what)
    expect(cache).to_contain_text("The cache holds 5 GiB.")
