"""The whole page: a strip about the machine, and inner tabs for what can be done."""

from __future__ import annotations

import gradio as gr

from . import data_tab, environment_tab, jobs_tab, lora_tab
from .context import Context
from .gradio_lines import blocks, html, keep_out_of_host_config, translate, translate_choices
from .html import render
from .train_tab import TrainTab

TRAIN, JOBS, ENVIRONMENT = "tanren-tab-train", "tanren-tab-jobs", "tanren-tab-environment"
LORAS, DATA = "tanren-tab-loras", "tanren-tab-data"
# For the page script: on a narrow page the newest gradio keeps most tabs in a menu whose entries have no names.
ORDER = (TRAIN, JOBS, DATA, LORAS, ENVIRONMENT)
STRIP = '<div id="tanren-strip" class="tanren-strip" data-tabs="{tabs}"></div>'


def build(context: Context) -> gr.Blocks:
    """The page, for a WebUI to put into a tab and for the standalone server to show alone.

    Nothing is read from disk and no model is looked at here; that happens when a browser opens the page.
    """
    with blocks() as page:
        html(render(STRIP, tabs=" ".join(ORDER)), elem_id="tanren-top")
        with gr.Tabs(elem_id="tanren-tabs"):
            with gr.Tab("Train a LoRA", id=TRAIN, elem_id=TRAIN):
                train = TrainTab(context)
            with gr.Tab("Training jobs", id=JOBS, elem_id=JOBS):
                jobs_tab.build(context.words)
            with gr.Tab("Pictures and captions", id=DATA, elem_id=DATA):
                data_tab.build(context.words)
            with gr.Tab("LoRA files", id=LORAS, elem_id=LORAS):
                lora_tab.build(context.words)
            with gr.Tab("Trainer environment", id=ENVIRONMENT, elem_id=ENVIRONMENT):
                environment_tab.build(context.words)
        train.connect(page)
    keep_out_of_host_config(page)
    if context.surroundings.kind == "standalone":
        translate(page, context.words)
    else:
        translate_choices(page, context.words)
    return page
