"""What differs between the gradio lines: handlers, hidden parts, languages."""

import pytest

pytest.importorskip("gradio")

import gradio as gr
from tanren.ui import gradio_lines
from tanren.ui.gradio_lines import (
    blocks,
    hidden_button,
    hidden_text,
    keep_out_of_host_config,
    listen,
    textbox,
    translate,
)


def only_event(page):
    (event,) = page.get_config_file()["dependencies"]
    return event


def test_handlers_do_not_wait_in_the_queue():
    with blocks() as page:
        button, shown = gr.Button("Press"), gr.Textbox()
        listen(button.click, lambda: {shown: gr.update(value="done")}, outputs=[shown])

    assert only_event(page)["queue"] is False
    assert only_event(page)["show_progress"] == "hidden"


def test_code_for_the_browser_arrives_under_the_name_of_this_line():
    with blocks() as page:
        button = gr.Button("Press")
        listen(button.click, None, js="() => []")

    assert only_event(page)["js"] == "() => []"
    assert not only_event(page)["backend_fn"]


def test_what_the_script_needs_stays_in_the_page():
    with blocks() as page:
        hidden_button("tanren-b")
        hidden_text("tanren-t")

    shown = [
        component["props"] for component in page.get_config_file()["components"] if "elem_id" in component["props"]
    ]
    parts = {props["elem_id"]: props for props in shown if props["elem_id"] in ("tanren-b", "tanren-t")}
    assert len(parts) == 2
    assert all(props["visible"] and "tanren-hidden" in props["elem_classes"] for props in parts.values())


def test_nothing_of_ours_is_written_into_the_hosts_config():
    with blocks() as page:
        gr.Textbox(label="x")
        textbox(label="y", copyable=True)
    keep_out_of_host_config(page)

    assert all(block.do_not_save_to_config for block in page.blocks.values())


@pytest.mark.skipif(gradio_lines.LINE < 4, reason="texts and values of choices are one there")
def test_a_translated_choice_keeps_its_english_value():
    with blocks() as page:
        radio = gr.Radio(["Simple view", "All settings"], value="Simple view", label="Form", info="What it shows")
        button = gr.Button("Start")
    translate(page, _japanese)

    assert radio.choices == [("簡単", "Simple view"), ("All settings", "All settings")]
    assert (radio.label, radio.info, radio.value) == ("入力", "What it shows", "Simple view")
    assert button.value == "開始"


def _japanese(text):
    return {"Simple view": "簡単", "Form": "入力", "Start": "開始"}.get(text, text)
