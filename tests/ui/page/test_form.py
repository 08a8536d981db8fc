"""What the script does for the train form: checks while typing, marks, one start, search."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

# As the server's page says it, in short; groups fold by a class as gradio's do.
FORM = """
<div id="tanren-form">
  <div id="tanren-field-pictures"><label><span>Pictures</span><textarea></textarea></label></div>
  <div id="tanren-field-network_dim"><label><span>Rank</span><input></label><span>Size of the update.</span></div>
  <div id="tanren-search"><label><span>Find a setting</span><input></label></div>
  <div class="tanren-group" id="g0"><button class="label-wrap">Network</button>
    <div id="tanren-field-network_alpha"><label><span>Alpha</span><input></label><span>Divided by the rank.</span></div>
  </div>
  <div class="tanren-group" id="g1"><button class="label-wrap">Saving</button>
    <div id="tanren-field-save_every_n_epochs"><label><span>Save every</span><input type="checkbox"></label></div>
  </div>
</div>
<div id="tanren-plan"><p>The plan appears here.</p></div>
<button id="tanren-start">Start training</button>
<div id="tanren-outcome"></div>
<div id="tanren-request" class="tanren-hidden"><textarea></textarea></div>
<button id="tanren-check" class="tanren-hidden"></button>
<script>
  window.checks = []; window.starts = []; window.told = [];
  const get = (id) => document.getElementById(id);
  get("tanren-check").onclick = () => checks.push(get("tanren-field-network_dim").querySelector("input").value);
  get("tanren-start").onclick = () => starts.push(get("tanren-request").querySelector("textarea").value);
  for (const head of document.querySelectorAll(".label-wrap")) head.onclick = () => head.classList.toggle("open");
</script>
"""


@pytest.fixture
def form(open_page, world):
    world.body += FORM
    page = open_page()
    page.wait_for_function("document.getElementById('tanren-form').dataset.tanrenOpen")
    return page


def plan(page, html):
    page.evaluate("(html) => { document.getElementById('tanren-plan').innerHTML = html; }", html)


def test_one_check_follows_the_last_key(form):
    # Typed within one moment of the page, so that no busy machine can put a pause between two keys.
    checked_while_typing = form.locator("#tanren-field-network_dim input").evaluate("""box => {
        for (const text of ["1", "12", "128"]) {
            box.value = text;
            box.dispatchEvent(new InputEvent("input", { bubbles: true }));
        }
        return window.checks.length; }""")
    assert checked_while_typing == 0
    form.wait_for_function("window.checks.length")
    form.wait_for_timeout(700)

    assert form.evaluate("checks") == ["128"]


def test_click_that_changes_nothing_is_no_check(form):
    form.locator("#tanren-field-network_dim input").click()
    form.locator("#tanren-field-pictures textarea").click()
    form.wait_for_timeout(500)

    assert form.evaluate("checks") == []


def test_search_is_no_check(form):
    form.locator("#tanren-search input").fill("rank")
    form.wait_for_timeout(500)

    assert form.evaluate("checks") == []


def test_problem_stands_below_its_field_and_is_told_to_screen_readers(form):
    plan(form, '<p data-field="network_dim">--network_dim: 0 is too small.</p>')
    note = form.locator("#tanren-problem-network_dim")
    expect(note).to_have_text("--network_dim: 0 is too small.")
    box = form.locator("#tanren-field-network_dim input")
    expect(box).to_have_attribute("aria-describedby", "tanren-problem-network_dim")
    expect(box).to_have_attribute("aria-invalid", "true")
    assert note.evaluate("note => note.parentElement.id") == "tanren-field-network_dim"

    plan(form, "<p>all right</p>")

    expect(note).to_have_count(0)
    expect(box).not_to_have_attribute("aria-invalid", "true")


def test_start_waits_until_the_plan_allows_it(form):
    plan(form, '<div data-can-start="false"><p data-field="pictures">There are no pictures.</p></div>')
    expect(form.locator("#tanren-start")).to_have_attribute("aria-disabled", "true")
    form.evaluate("document.getElementById('tanren-start').click()")
    assert form.evaluate("starts") == []

    plan(form, '<div data-can-start="true"></div>')
    expect(form.locator("#tanren-start")).not_to_have_attribute("aria-disabled", "true")
    form.locator("#tanren-start").click()

    assert len(form.evaluate("starts")) == 1


def test_double_click_starts_once_and_the_request_has_an_id(form):
    form.locator("#tanren-start").dblclick()

    [request] = form.evaluate("starts")
    assert len(request) == 32


def test_after_a_refusal_it_can_be_started_again_with_the_same_id(form):
    form.locator("#tanren-start").click()
    form.evaluate("document.getElementById('tanren-outcome').innerHTML = '<p data-started=\"\">No.</p>'")
    expect(form.locator("#tanren-start")).not_to_have_attribute("aria-busy", "true")
    form.locator("#tanren-start").click()

    first, second = form.evaluate("starts")
    assert first == second


def test_after_a_start_the_job_is_shown_and_the_next_start_has_another_id(form):
    form.locator("#tanren-start").click()
    form.evaluate(
        "document.getElementById('tanren-outcome').innerHTML = '<p data-started=\"20251007-190000-water\">Yes.</p>'"
    )
    expect(form.locator(".tn-job h2")).to_have_text("watercolour")
    form.locator("#tanren-start").click()

    first, second = form.evaluate("starts")
    assert first != second


def test_changed_fields_are_marked_with_a_word(form):
    plan(form, '<div data-changed="network_alpha,network_dim"></div>')
    expect(form.locator("#tanren-field-network_dim .tanren-changed-mark")).to_have_text("changed from the preset")
    expect(form.locator(".tanren-changed-mark")).to_have_count(2)

    plan(form, '<div data-changed=""></div>')

    expect(form.locator(".tanren-changed-mark")).to_have_count(0)


def test_search_finds_by_name_label_and_help_and_leaves_the_questions_alone(form):
    search = form.locator("#tanren-search input")
    search.fill("rank div")
    expect(form.locator("#tanren-found")).to_have_text("1 of 2 settings")
    expect(form.locator("#tanren-field-network_alpha")).to_be_visible()
    expect(form.locator("#g1")).to_be_hidden()
    expect(form.locator("#tanren-field-network_dim")).to_be_visible()
    expect(form.locator("#g0 .label-wrap.open")).to_have_count(1)

    search.fill("save_every")
    expect(form.locator("#tanren-field-save_every_n_epochs")).to_be_visible()
    expect(form.locator("#g0")).to_be_hidden()

    search.fill("")
    expect(form.locator("#tanren-found")).to_have_count(0)
    expect(form.locator("#g0")).to_be_visible()
    expect(form.locator(".label-wrap.open")).to_have_count(0)


def test_use_this_level_writes_the_folder_and_checks(form):
    plan(form, '<button data-use-level="/pictures/学習 (1)">Use this level</button>')
    form.get_by_role("button", name="Use this level").click()

    expect(form.locator("#tanren-field-pictures textarea")).to_have_value("/pictures/学習 (1)")
    form.wait_for_function("checks.length === 1")


def test_copy_buttons_of_the_server(open_page, world):
    world.body += FORM
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    plan(page, '<button data-copy-from="#line">Copy as command line</button><pre id="line">train_network.py</pre>')
    page.get_by_role("button", name="Copy as command line").click()

    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "train_network.py"
