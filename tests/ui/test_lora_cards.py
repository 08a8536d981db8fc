"""The WebUI's own Lora cards, and its editor of their metadata, lead to our view of the file."""

from __future__ import annotations

import html

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("playwright.sync_api")

from network_files import SD1_LORA, SDXL_LORA, write_network
from playwright.sync_api import expect
from ui.library_page import BODY, serve_library

pytestmark = pytest.mark.browser
# As the templates of AUTOMATIC1111 and Forge draw them.
CARD = """<div class="card" onclick="cardClicked(event, '{name}')" data-name="{name}">
<div class="button-row"><div class="copy-path-button card-button" title="Copy path to clipboard"
onclick="event.stopPropagation()" data-clipboard-text="{path}"></div><div class="metadata-button card-button"></div>
<div class="edit-button card-button"></div></div><div class="actions"><span class="name">{name}</span></div></div>"""
OLDER = '<div class="card" data-name="{name}"><ul><a href="#" class="edit-button"></a></ul>{name}</div>'
PAGE = """<script>window.clicked = []; window.popupsClosed = 0;
function cardClicked(event, name) {{ window.clicked.push(name); }}
function closePopup() {{ window.popupsClosed += 1; }}</script>
<div id="txt2img_lora_cards">{cards}</div><div id="img2img_lora_cards">{more}</div>
<div id="txt2img_lora_edit_user_metadata"><label id="txt2img_lora_edit_user_metadata_name"><textarea></textarea></label>
<div class="edit-user-metadata-buttons"><button class="lg secondary">Cancel</button><button>Save</button></div></div>"""


def card(path, template=CARD):
    return template.format(name=html.escape(path.stem), path=html.escape(str(path)))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Lora").mkdir()
    write_network(tmp_path / "Lora" / "cat.safetensors", SD1_LORA, {"ss_output_name": "the cat"})
    write_network(tmp_path / "Lora" / "dog & 犬 'x'.safetensors", SDXL_LORA, {"ss_output_name": "the dog"})
    return tmp_path / "Lora"


@pytest.fixture
def open_page(browser, tmp_path, folder):
    """Opens a page of a WebUI with these cards."""
    closing, faults = [], []

    def open_it(cards, more=""):
        serving = serve_library(tmp_path / "data", folder, PAGE.format(cards=cards, more=more) + BODY)
        address = serving.__enter__().address
        page = browser.new_page()
        closing.extend((page.close, lambda: serving.__exit__(None, None, None)))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.set_default_timeout(60_000)
        page.goto(address)
        expect(page.locator(".tn-lib-count")).to_have_text("2 LoRA files")
        return page

    yield open_it
    for close in closing:
        close()
    assert not faults


def test_every_card_has_one_button_that_opens_its_file_and_nothing_else(open_page, folder):
    page = open_page(card(folder / "cat.safetensors"), card(folder / "dog & 犬 'x'.safetensors"))
    buttons = page.locator(".tanren-card-button")
    expect(buttons).to_have_count(2)
    expect(buttons.first).to_have_attribute("title", "Look into this LoRA with Tanren")

    buttons.nth(1).dispatch_event("click")
    expect(page.locator("#tanren-lora h2").first).to_have_text("the dog")
    buttons.nth(0).press("Enter")
    expect(page.locator("#tanren-lora h2").first).to_have_text("the cat")

    assert page.evaluate("window.clicked") == []
    expect(buttons).to_have_count(2)


def test_cards_that_are_drawn_anew_get_it_again(open_page, folder):
    page = open_page(card(folder / "cat.safetensors"))
    expect(page.locator(".tanren-card-button")).to_have_count(1)

    again = card(folder / "dog & 犬 'x'.safetensors") * 2
    page.evaluate("(text) => { document.querySelector('#txt2img_lora_cards').innerHTML = text; }", again)

    expect(page.locator(".tanren-card-button")).to_have_count(2)


def test_cards_of_another_shape_are_left_alone(open_page, folder):
    page = open_page(card(folder / "cat.safetensors", OLDER), '<div class="card">no name</div>')

    expect(page.locator("#txt2img_lora_cards .card[data-tanren]")).to_have_count(1)
    expect(page.locator(".tanren-card-button")).to_have_count(0)


def test_a_card_without_a_path_is_found_by_its_name_and_a_strange_one_is_said(open_page, folder):
    without = '<div class="card" data-name="{name}"><div class="button-row"></div></div>'
    page = open_page(card(folder / "cat.safetensors", without) + card(folder / "gone.safetensors", without))

    page.locator(".tanren-card-button").first.dispatch_event("click")
    expect(page.locator("#tanren-lora h2").first).to_have_text("the cat")
    page.locator(".tanren-card-button").nth(1).dispatch_event("click")
    expect(page.locator("#tanren-lora [role=alert]")).to_contain_text("gone")


def test_the_webuis_editor_leads_to_it_and_is_closed(open_page, folder):
    page = open_page(card(folder / "cat.safetensors"))
    page.locator("#txt2img_lora_edit_user_metadata_name textarea").fill("cat")

    page.locator(".tanren-editor-button").click()

    expect(page.locator("#tanren-lora h2").first).to_have_text("the cat")
    assert page.evaluate("window.popupsClosed") == 1
    expect(page.locator(".tanren-editor-button")).to_have_class("lg secondary tanren-editor-button")
