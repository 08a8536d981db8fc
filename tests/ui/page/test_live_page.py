"""What somebody sees who watches a training."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect
from ui.page.stories import points, training

pytestmark = pytest.mark.browser
RUNNING = "#tanren/20251009-085320-crescent"


def detail(page):
    return page.locator(".tn-job")


def test_list_shows_every_job_with_word_symbol_and_progress(page):
    rows = page.locator(".tn-job-row")

    expect(rows).to_have_count(5)
    expect(rows.nth(0)).to_contain_text("三日月 crescent")
    expect(rows.nth(0).locator(".tn-state")).to_have_text("running")
    expect(rows.nth(0).locator(".tn-state svg")).to_have_count(1)
    expect(rows.nth(0).locator("[role=progressbar]")).to_have_attribute("aria-valuenow", "120")
    expect(rows.nth(0)).to_contain_text("step 120 of 275")
    expect(page.locator(".tn-list h3:visible")).to_have_text(
        ["Running now (1)", "Waiting in the queue (1)", "Ended jobs (3)"]
    )


def test_running_job_is_shown_without_a_click_where_there_is_room(page):
    job = detail(page)

    expect(job.locator("h2")).to_have_text("三日月 crescent")
    expect(job.locator(".tn-sentence")).to_have_text("Training steps · step 120 of 275 · epoch 3 of 5")
    expect(job.locator(".tn-facts")).to_contain_text("1 min 5 sec, until")
    expect(job.locator(".tn-facts")).to_contain_text("0.42 sec")
    expect(job.locator(".tn-facts")).to_contain_text("5.4 GiB")


def test_strip_says_device_model_and_trainer(page):
    strip = page.locator("#tanren-strip")

    expect(strip).to_contain_text("NVIDIA GeForce RTX 3070 · 3.6 GiB free of 8 GiB")
    expect(strip).to_contain_text("held by the WebUI: animefull-v2.safetensors, 3.6 GiB")
    expect(strip).to_contain_text("trainer ready")


def test_model_that_is_put_aside_is_named_without_a_size(open_page, world):
    world.state["checkpoint"]["is_loaded"] = False

    expect(open_page().locator("#tanren-strip")).to_contain_text("the WebUI's model: animefull-v2.safetensors")


def test_phase_with_its_count(page, world):
    job = world.jobs["20251009-085320-crescent"]
    job.update(phase="cache latents", done=11, total=11, step=0)

    expect(detail(page).locator(".tn-sentence")).to_have_text("Caching latents 11/11")
    expect(detail(page).locator("[role=status]").first).to_have_text("running. Caching latents")


def test_a_new_step_is_seen_within_a_second(page, world):
    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 120")

    # A second, and some time for the machine that runs the tests, which may be busy with others now and then.
    assert any(seconds_until_seen(page, world, step) < 1.5 for step in range(121, 131))


def seconds_until_seen(page, world, step):
    """From a trainer's step to the page that shows it and its point."""
    before = time.monotonic()
    world.jobs["20251009-085320-crescent"].update(step=step, points=points(step))
    page.wait_for_function(f"document.querySelector('.tn-sentence').textContent.includes('step {step}')", polling=20)
    seconds = time.monotonic() - before
    expect(page.locator(".tn-canvas").first).to_have_attribute("data-points", str(step))
    return seconds


def test_only_new_points_are_asked_for(page, world):
    expect(page.locator(".tn-canvas").first).to_have_attribute("data-points", "120")
    world.jobs["20251009-085320-crescent"].update(step=130, points=points(130))

    expect(page.locator(".tn-canvas").first).to_have_attribute("data-points", "130")
    assert page.evaluate("performance.getEntriesByType('resource').some((one) => one.name.endsWith('?since=120'))")


def test_reload_keeps_the_selected_job(page):
    page.locator(".tn-job-row", has_text="watercolour").click()
    expect(detail(page).locator("h2")).to_have_text("watercolour")

    page.reload()

    expect(detail(page).locator("h2")).to_have_text("watercolour")
    expect(page.locator(".tn-job-row[aria-current]")).to_contain_text("watercolour")


def test_a_second_browser_sees_the_same(open_page):
    texts = []
    for page in (open_page(RUNNING), open_page(RUNNING)):
        expect(page.locator(".tn-canvas").first).to_have_attribute("data-points", "120")
        texts.append(re.sub(r"Time so far.*", "", detail(page).locator(".tn-job-head").inner_text(), flags=re.S))

    assert texts[0] == texts[1]


def test_server_restart_is_said_and_survived(page, server, world):
    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 120")

    server.stop()
    expect(page.locator(".tn-trouble")).to_contain_text("The server is not reachable. Trying again in")
    expect(detail(page).locator("h2")).to_have_text("三日月 crescent")
    world.jobs["20251009-085320-crescent"].update(step=140, points=points(140))
    server.start()

    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 140")
    expect(page.locator(".tn-trouble")).to_be_hidden()


def test_never_more_than_one_request_at_once(page, world):
    world.delay = 0.15
    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 120")
    page.wait_for_timeout(1500)

    assert world.most_at_once == 1


def test_hidden_page_asks_nothing_and_asks_at_once_when_seen_again(page, world):
    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 120")
    hide = "Object.defineProperty(document, 'hidden', {get: () => %s, configurable: true});"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hide % "true" + tell)
    # What was asked before that may still be under way.
    page.wait_for_timeout(1000)
    before = len(world.asked)
    page.wait_for_timeout(1500)
    assert len(world.asked) == before

    # Without the beat: a page that only kept to it would ask no more.
    page.evaluate("() => { window.setTimeout = (work, pause) => { if (!pause) queueMicrotask(work); return 0; } }")
    world.jobs["20251009-085320-crescent"].update(step=150, points=points(150))
    page.evaluate(hide % "false" + tell)

    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 150")


def test_nothing_runs_so_it_is_asked_seldom(page, world):
    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 120")
    for job in world.jobs.values():
        job["state"] = "completed"
    expect(detail(page).locator(".tn-state").first).to_have_text("completed")
    page.wait_for_timeout(3200)
    before = len(world.asked)
    page.wait_for_timeout(2000)

    assert len(world.asked) - before <= 3


def test_tab_that_is_not_open_asks_nothing(page, world):
    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 120")
    page.evaluate("document.querySelector('body > div').style.display = 'none'")
    page.wait_for_timeout(2000)
    before = len(world.asked)
    page.wait_for_timeout(1500)
    assert len(world.asked) == before

    world.jobs["20251009-085320-crescent"].update(step=160, points=points(160))
    page.evaluate("document.querySelector('body > div').style.display = ''")

    expect(detail(page).locator(".tn-sentence")).to_contain_text("step 160")


def test_job_that_was_deleted_elsewhere_leaves_the_page(page, world):
    page.locator(".tn-job-row", has_text="watercolour").click()
    expect(detail(page).locator("h2")).to_have_text("watercolour")

    del world.jobs["20251007-190000-water"]

    expect(detail(page).locator("h2")).to_have_text("三日月 crescent")
    expect(page.locator(".tn-job-row")).to_have_count(4)


def test_container_that_comes_later_is_filled(open_page, world):
    world.body = ""
    page = open_page()

    page.evaluate("""() => { const made = document.createElement("div"); made.id = "tanren-live";
        document.body.append(made); }""")

    expect(page.locator(".tn-job-row")).to_have_count(5)


def test_no_jobs_yet(open_page, world):
    world.jobs = {}

    expect(open_page().locator(".tn-list .tn-nothing")).to_contain_text("No jobs yet.")


def test_queue_that_waits_for_a_word_after_a_restart(page, world):
    world.state["queue"] = {"is_paused": True}

    page.reload()
    page.get_by_role("button", name="Start the waiting jobs").click()

    expect(page.get_by_role("button", name="Start the waiting jobs")).to_have_count(0)
    assert world.gets_posted("queue/start") == [{}]


def test_who_may_only_watch_has_no_buttons(open_page, world):
    world.state |= {"may_write": False, "why_not": "The server listens to the network."}
    page = open_page(RUNNING)

    expect(page.locator(".tn-card", has_text="you can watch here")).to_contain_text(
        "The server listens to the network."
    )
    expect(detail(page).locator("h2")).to_have_text("三日月 crescent")
    expect(page.locator("[data-action]")).to_have_count(0)
    expect(page.get_by_role("button", name="Use this epoch")).to_have_count(0)


def test_everything_in_the_users_language(open_page, world):
    world.state["language"] = "ja_JP"
    world.words = {
        "running": "実行中",
        "step {step} of {total}": "{total} ステップ中 {step}",
        "Stop and keep": "保存して停止",
    }
    page = open_page(RUNNING)

    expect(detail(page).locator(".tn-state").first).to_have_text("実行中")
    expect(detail(page).locator(".tn-sentence")).to_contain_text("275 ステップ中 120")
    expect(page.locator("[data-action=stop]")).to_have_text("保存して停止")
    expect(detail(page).locator(".tn-facts")).to_contain_text("1 分 5 秒")


def test_resumed_attempt_replaces_what_it_did_again(page, world):
    expect(page.locator(".tn-canvas").first).to_have_attribute("data-points", "120")
    after = page.evaluate("""() => { const points = new tanren.scale.Points();
        points.add({step: [1, 2, 3, 4], loss: [1, 2, 3, 4], lr: {unet: [1, 1, 1, 1]}});
        points.add({step: [3, 4, 5], loss: [30, null, 50], lr: {unet: [2, 2, 2], te: [5, 5, 5]}});
        return [points.step, points.column("loss"), points.column("lr:te")]; }""")

    assert after == [[1, 2, 3, 4, 5], [1, 2, 30, None, 50], [None, None, 5, 5, 5]]
    assert training()["points"]["step"][-1] == 120
