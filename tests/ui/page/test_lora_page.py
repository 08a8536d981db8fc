"""The view of a LoRA file beside a WebUI: into the prompt, what fits, and what a reader may not do."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

PLACES = '<div id="txt2img_prompt"><textarea></textarea></div><div id="tanren-lora"></div>'
FILE = {
    "path": "/loras/cat.safetensors",
    "name": "cat.safetensors",
    "stem": "cat",
    "size": 144_000_000,
    "alias": "cat",
    "has_metadata": True,
    "family": "Stable Diffusion 1",
    "family_source": "derived",
    "type": "LoRA",
    "naming": "kohya",
    "trainer": "Tanren",
    "date": "",
    "layers": 2,
    "tensors": 6,
    "parts": [{"part": "unet", "text": "rank 8, alpha 4", "layers": 2}],
    "blocks": [],
    "filed": [{"host": "AUTOMATIC1111", "version": "SD2", "is_right": False, "is_hidden": True}],
    "fits": {"answer": False, "sentence": "Made for SD1: it cannot work with SDXL."},
    "warnings": [],
    "triggers": [{"words": "sks cat", "source": "trigger phrase", "is_guess": False}],
    "tags": [{"folder": "10_cat", "pictures": 9, "count": 2, "tags": [["sks cat", 9], ["blue sky", 4]]}],
    "facts": [],
    "folders": [],
    "buckets": [],
    "cover": False,
    "preview": None,
    "beside": {"host": {}, "shown": [], "description": ""},
    "civitai": None,
    "mark": "1",
    "family_keys": [],
    "can_undo": True,
    "checkpoint": "xl",
}


@pytest.fixture
def shown(open_page, world):
    """The page of a file, as the server tells of it."""

    def show():
        world.body = PLACES
        page = open_page()
        page.route("**/tanren/api/lora/file*", lambda route: route.fulfill(json=FILE))
        page.wait_for_function("Boolean(window.tanren && tanren.lora && document.querySelector('#tanren-lora-view'))")
        page.evaluate("tanren.lora.open('/loras/cat.safetensors')")
        page.wait_for_selector(".tn-lora-page")
        return page

    return show


def test_words_and_chosen_tags_go_into_the_prompt(shown):
    page = shown()
    prompt = page.locator("#txt2img_prompt textarea")

    page.click(".tn-lora-trigger button:has-text('Into the prompt')")
    assert prompt.input_value() == "sks cat"

    page.click(".tn-lora-tag:has-text('blue sky')")
    page.click(".tn-lora-tag-part button:has-text('Into the prompt')")
    assert prompt.input_value() == "sks cat, blue sky"


def test_without_a_webui_there_is_no_prompt_to_put_words_into(shown, world):
    world.state["surroundings"] = "standalone"

    assert shown().locator("button:has-text('Into the prompt')").count() == 0


def test_a_file_that_does_not_fit_says_so_and_where_the_host_puts_it(shown):
    page = shown()

    assert page.inner_text(".tn-lora-fit") == "Made for SD1: it cannot work with SDXL."
    assert "AUTOMATIC1111 files it as SD2, which is wrong. Its card is hidden" in page.inner_text(".tn-lora-filed")


def test_who_may_only_look_has_no_buttons_that_change(shown, world):
    world.state["may_write"] = False
    page = shown()

    ids = page.locator("[data-lora]").evaluate_all("(nodes) => nodes.map((node) => node.dataset.lora)")
    assert sorted(ids) == ["again", "compare", "open"]
