"""Files that a job wrote, and their way into the WebUI."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
PROMPT = '<div id="txt2img_prompt"><textarea>a hill, night,</textarea></div>'


def row(page, name):
    return page.locator(".tn-files tbody tr", has_text=name)


def test_newest_file_first_and_missing_ones_marked(page):
    rows = page.locator(".tn-files tbody tr")

    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("crescent-000002.safetensors")
    expect(rows.nth(0)).to_contain_text("epoch 2 · step 110")
    expect(rows.nth(0)).to_contain_text("18 MiB")
    expect(rows.nth(1)).to_contain_text("not there any more")
    expect(rows.nth(1).get_by_role("button", name="Use this epoch")).to_have_count(0)


def test_a_button_keeps_the_focus_while_memory_and_files_change(page, world):
    button = row(page, "000002").get_by_role("button", name="Use this epoch")
    button.focus()
    world.state["device"] = {**(world.state.get("device") or {}), "free": 123456789}
    page.evaluate("tanren.know(true)")
    job = world.jobs["20251009-085320-crescent"]
    job["files"] = [*job["files"], {**job["files"][-1], "name": "crescent-000003.safetensors", "step": 165}]

    expect(page.locator(".tn-files tbody tr").first).to_contain_text("crescent-000003.safetensors")
    assert button.evaluate("it => it === document.activeElement")


def test_use_this_epoch_asks_for_name_words_weight_and_takes_the_sample_in_sight(page, world):
    row(page, "000002").get_by_role("button", name="Use this epoch").click()
    expect(page.get_by_label("Name in the WebUI")).to_have_value("crescent-000002")
    page.get_by_label("Name in the WebUI").fill("三日月")
    expect(page.get_by_label("Words that activate it")).to_have_value("crescent")
    page.get_by_label("Words that activate it").fill("crescent moon")
    page.get_by_label("Weight to use it with").fill("0.75")
    page.get_by_role("button", name="Copy it there").click()

    expect(page.locator(".tn-good")).to_contain_text("“三日月” is in the WebUI's list of LoRAs now.")
    assert world.gets_posted("/use") == [
        {
            "file": "crescent-000002.safetensors",
            "name": "三日月",
            "preview": "crescent_000110_00_42.png",
            "activation_text": "crescent moon",
            "weight": 0.75,
        }
    ]


def test_use_without_a_preview(page, world):
    row(page, "000002").get_by_role("button", name="Use this epoch").click()
    page.get_by_label("This sample becomes its preview picture").uncheck()
    page.get_by_role("button", name="Copy it there").click()

    expect(page.locator(".tn-good")).to_be_visible()
    assert world.gets_posted("/use")[0]["preview"] is None


def test_name_that_is_taken_is_the_servers_word(page, world):
    world.refusal = {"code": 2, "where": "name", "what": "This name is no file name.", "why": "", "fix": "Shorten it."}
    row(page, "000002").get_by_role("button", name="Use this epoch").click()
    page.get_by_role("button", name="Copy it there").click()

    expect(page.locator(".tn-job .tn-problem")).to_contain_text("This name is no file name.")


def test_try_it_writes_into_the_prompt_as_the_webui_wants_it(open_page, world):
    world.body += PROMPT + "<script>window.told = []; function updateInput(box) { told.push(box.value); }</script>"
    page = open_page()
    row(page, "000002").get_by_role("button", name="Try it in txt2img").click()

    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a hill, night, <lora:moon:0.8> crescent")
    assert page.evaluate("told") == ["a hill, night, <lora:moon:0.8> crescent"]
    row(page, "000002").get_by_role("button", name="Try it in txt2img").click()
    expect(page.locator("#txt2img_prompt textarea")).to_have_value("a hill, night, <lora:moon:0.8> crescent")


def test_standalone_copies_to_a_folder_that_the_user_names_once(open_page, world):
    world.state |= {"surroundings": "standalone", "lora_folder": None}
    page = open_page()
    expect(page.get_by_role("button", name="Try it in txt2img")).to_have_count(0)
    row(page, "000002").get_by_role("button", name="Use this epoch").click()
    page.get_by_role("button", name="Copy it there").click()
    expect(page.locator("dialog")).to_be_visible()
    page.get_by_label("Folder of the LoRAs you use").fill("/webui/models/Lora")
    page.get_by_role("button", name="Copy it there").click()

    expect(page.locator(".tn-good")).to_contain_text("It is copied: /lora/crescent-000002.safetensors")
    assert world.gets_posted("/use")[0]["folder"] == "/webui/models/Lora"
    row(page, "000002").get_by_role("button", name="Use this epoch").click()
    expect(page.get_by_label("Folder of the LoRAs you use")).to_have_value("/webui/models/Lora")


def test_standalone_proposes_the_folder_it_was_started_with(open_page, world):
    world.state |= {"surroundings": "standalone", "lora_folder": "/models/Lora 学習"}
    page = open_page()
    row(page, "000002").get_by_role("button", name="Use this epoch").click()

    expect(page.get_by_label("Folder of the LoRAs you use")).to_have_value("/models/Lora 学習")


CONTROL = "sdxl_train_control_net_lllite"


def test_a_control_network_goes_to_controlnets_folder_and_not_into_a_prompt(open_page, world):
    next(iter(world.jobs.values()))["command"] = CONTROL
    world.state |= {"control_folder": "/webui/models/ControlNet"}
    world.used = {"path": "/webui/models/ControlNet/lines.safetensors", "is_listed": True}
    page = open_page()
    expect(page.get_by_role("button", name="Try it in txt2img")).to_have_count(0)
    row(page, "000002").get_by_role("button", name="Use this epoch").click()
    expect(page.locator("dialog")).to_contain_text("copied into /webui/models/ControlNet, where ControlNet looks")
    expect(page.get_by_label("Weight to use it with")).to_have_count(0)
    page.get_by_label("Name of the copy").fill("lines")
    page.get_by_role("button", name="Copy it there").click()

    expect(page.locator(".tn-good")).to_contain_text("It is copied: /webui/models/ControlNet/lines.safetensors")
    expect(page.locator(".tn-good")).to_contain_text("press the button that reads the list again")
    assert world.gets_posted("/use") == [{"file": "crescent-000002.safetensors", "name": "lines"}]


def test_alone_a_control_network_is_copied_to_a_folder_that_is_asked_for_once(open_page, world):
    next(iter(world.jobs.values()))["command"] = CONTROL
    world.state |= {"surroundings": "standalone", "control_folder": None}
    page = open_page()
    row(page, "000002").get_by_role("button", name="Use this epoch").click()
    page.get_by_label("Folder of the control networks you use").fill("/comfy/models/controlnet")
    page.get_by_role("button", name="Copy it there").click()

    expect(page.locator(".tn-good")).to_contain_text("A WebUI needs the ControlNet extension for it")
    row(page, "000002").get_by_role("button", name="Use this epoch").click()
    expect(page.get_by_label("Folder of the control networks you use")).to_have_value("/comfy/models/controlnet")
