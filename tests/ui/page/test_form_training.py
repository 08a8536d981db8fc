"""What the script does when another training is meant: fields hide, the form is fitted, buttons put values in."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

FORM = """
<div id="tanren-form">
  <div id="tanren-field-pictures"><label><span>Pictures</span><textarea></textarea></label></div>
  <div id="tanren-search"><label><span>Find a setting</span><input></label></div>
  <div class="tanren-group" id="tanren-group-0"><button class="label-wrap open">Rates</button>
    <div id="tanren-field-text_encoder_lr"><label><span>Rate of the text encoder</span><input></label></div>
    <div id="tanren-field-text_encoder_lr1"><label><span>Rate of CLIP-L</span><input></label></div>
  </div>
  <div class="tanren-group" id="tanren-group-1"><button class="label-wrap open">SD 2</button>
    <div id="tanren-field-v2"><label><span>Version 2 with a rate</span><input type="checkbox"></label></div>
  </div>
</div>
<div id="tanren-plan"></div>
<div id="tanren-preset"><input aria-label="Training preset"></div>
<div id="tanren-wish" class="tanren-hidden"><textarea></textarea></div>
<button id="tanren-fit" class="tanren-hidden"></button>
<button id="tanren-grant" class="tanren-hidden"></button>
<script>
  window.fits = 0; window.wishes = [];
  const get = (id) => document.getElementById(id);
  get("tanren-fit").onclick = () => { window.fits += 1; };
  get("tanren-grant").onclick = () => wishes.push(get("tanren-wish").querySelector("textarea").value);
</script>
"""
HIDDEN = "tanren-field-text_encoder_lr tanren-field-v2 tanren-group-1"


@pytest.fixture
def form(open_page, world):
    world.body += FORM
    page = open_page()
    page.wait_for_function("document.getElementById('tanren-form').dataset.tanrenOpen")
    return page


def plan(page, html):
    page.evaluate("(html) => { document.getElementById('tanren-plan').innerHTML = html; }", html)


def test_fields_that_are_not_asked_for_hide_and_come_back(form):
    plan(form, f'<div data-hidden="{HIDDEN}"></div>')
    expect(form.locator("#tanren-field-text_encoder_lr")).to_be_hidden()
    expect(form.locator("#tanren-group-1")).to_be_hidden()
    expect(form.locator("#tanren-field-text_encoder_lr1")).to_be_visible()

    plan(form, '<div data-hidden="tanren-field-text_encoder_lr1"></div>')

    expect(form.locator("#tanren-field-text_encoder_lr")).to_be_visible()
    expect(form.locator("#tanren-group-1")).to_be_visible()
    expect(form.locator("#tanren-field-text_encoder_lr1")).to_be_hidden()


def test_a_field_that_comes_to_the_page_later_is_hidden_too(form):
    plan(form, '<div data-hidden="tanren-field-clip_skip"></div>')

    form.evaluate("document.getElementById('tanren-group-0').innerHTML += '<p id=\"tanren-field-clip_skip\">2</p>'")

    expect(form.locator("#tanren-field-clip_skip")).to_be_hidden()


def test_the_search_neither_finds_nor_counts_hidden_fields(form):
    plan(form, f'<div data-hidden="{HIDDEN}"></div>')

    form.locator("#tanren-search input").fill("rate")

    expect(form.locator("#tanren-found")).to_have_text("1 of 1 settings")


def test_the_form_is_fitted_once_for_every_answer_that_asks_for_it(form):
    for answer in ("a", "a", "b"):
        plan(form, f'<div data-answer="{answer}"><div data-fit="sdxl_train_network"></div></div>')
        form.wait_for_timeout(50)
    assert form.evaluate("fits") == 2

    plan(form, '<div data-answer="c"><div data-fit=""></div></div>')
    form.wait_for_timeout(50)

    assert form.evaluate("fits") == 2


def test_the_list_of_presets_is_shut_until_the_form_has_those_of_the_other_training(form):
    form.locator("#tanren-preset input").focus()
    plan(form, '<div data-answer="a"><div data-fit="train_leco"></div></div>')
    form.wait_for_function("document.getElementById('tanren-preset').inert")
    assert form.evaluate("document.activeElement === document.body")

    plan(form, '<div data-answer="b"><div data-fit=""></div></div>')
    form.wait_for_function("!document.getElementById('tanren-preset').inert")


def test_a_button_of_the_plan_asks_for_its_values(form):
    wish = '{"network_train_unet_only": true}'
    form.evaluate(
        "(wish) => { const button = document.createElement('button'); button.dataset.wish = wish;"
        "button.textContent = 'Train the U-Net only'; document.getElementById('tanren-plan').append(button); }",
        wish,
    )
    form.get_by_role("button", name="Train the U-Net only").click()
    form.wait_for_function("window.wishes.length")

    assert form.evaluate("wishes") == [wish]


def test_a_value_for_a_field_in_a_folded_group_goes_to_the_server(form):
    plan(form, '<button data-use-level=".txt" data-level-field="caption_extension">Use .txt</button>')
    form.get_by_role("button", name="Use .txt").click()
    form.wait_for_function("window.wishes.length")

    assert form.evaluate("wishes") == ['{"caption_extension":".txt"}']
