"""Where the parts of the train form stand: the few questions first, everything else grouped behind a switch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from .base_models import MICRO_SD
from .fields import Field, fields
from .form_view import FormView, by_heading, component
from .gradio_lines import Component, hidden_button, hidden_text, html
from .help_card import help_card
from .html import render
from .simple_view import LENGTHS, OWN, fill_form
from .words import Words

SIMPLE_VIEW, ALL_SETTINGS = "Simple view", "All settings"
BASE_MODEL = "pretrained_model_name_or_path"
NAME_INFO = "What your LoRA and its files will be called."
AMOUNT = ("resolution", "length", "length_unit")
MORE = (
    *("repeats", "trigger_in_captions", "caption_extension", "vae", "train_batch_size", "seed"),
    *("save_every_n_epochs", "sample_every_n_epochs", "sample_prompts"),
)
# They are asked for by `length` and `length_unit`.
ASKED_OTHERWISE = frozenset(LENGTHS.values())


@dataclass(frozen=True)
class TrainParts:
    """The components that events are connected to.

    Args:
        form: every field.
        groups: what only the full view shows.
        view: switch between the views.
        preset: list of presets.
        plan: what the newest check says.
        outcome: what the newest start said.
        request: id of the next start.
        draft: what the browser kept of the form.
        check, start: buttons; the first is pressed by the page script.
        reload: button that reads the lists of models anew.
        guide: the first steps.
        first: what the fields hold before anything is filled in.
    """

    form: FormView
    first: Mapping[str, Any]
    groups: Component
    view: Component
    preset: Component
    plan: Component
    outcome: Component
    request: Component
    draft: Component
    check: Component
    start: Component
    reload: Component
    guide: Component


def lay_out(command: str, words: Words) -> TrainParts:
    """Make the components, inside of whatever is open at the moment."""
    known = {field.name: field for field in (*OWN, *fields(command)) if field.name not in ASKED_OTHERWISE}
    first = {**fill_form(command, {}), BASE_MODEL: words(MICRO_SD)}
    made: dict[str, Component] = {}
    guide = html(help_card(words, is_first_time=True), elem_id="tanren-guide")
    with gr.Row(elem_id="tanren-train-page"):
        with gr.Column(elem_id="tanren-form", scale=3, min_width=320):
            view = gr.Radio(
                [SIMPLE_VIEW, ALL_SETTINGS],
                value=SIMPLE_VIEW,
                label="What the form shows",
                show_label=False,
                container=False,
                elem_id="tanren-view",
            )
            reload = _questions(known, first, made)
            preset = made.pop("preset")
            groups = _all_settings([field for field in known.values() if field.name not in made], first, made)
        with gr.Column(elem_id="tanren-side", scale=2, min_width=300):
            plan = html(render("<p>{text}</p>", text=words("The plan appears here.")), elem_id="tanren-plan")
            start = gr.Button("Start training", variant="primary", elem_id="tanren-start")
            outcome = html(elem_id="tanren-outcome")
    return TrainParts(
        form=FormView(made),
        first=first,
        groups=groups,
        view=view,
        preset=preset,
        plan=plan,
        outcome=outcome,
        request=hidden_text("tanren-request"),
        draft=hidden_text("tanren-draft"),
        check=hidden_button("tanren-check"),
        start=start,
        reload=reload,
        guide=guide,
    )


def _questions(known: Mapping[str, Field], first: Mapping[str, Any], made: dict[str, Component]) -> Component:
    """What both views show; the button that reads the lists of models anew."""
    with gr.Row(elem_classes=["tanren-with-button"]):
        made[BASE_MODEL] = gr.Dropdown(
            choices=[first[BASE_MODEL]],
            value=first[BASE_MODEL],
            label=known[BASE_MODEL].label,
            info="A name from the list, or the path of a model file or folder.",
            allow_custom_value=True,
            elem_id=f"tanren-field-{BASE_MODEL}",
            elem_classes=["tanren-field"],
            scale=8,
        )
        reload = gr.Button("Read the list again", elem_id="tanren-reload", size="sm", scale=1, min_width=120)
    made["pictures"] = component(known["pictures"], "")
    with gr.Row():
        made["output_name"] = component(known["output_name"], "", info=NAME_INFO, min_width=220)
        made["trigger"] = component(known["trigger"], "", min_width=220)
    made["preset"] = gr.Dropdown(
        choices=[],
        value=None,
        label="Training preset",
        info="Values that fit a purpose and a card. What you change afterwards is marked.",
        elem_id="tanren-preset",
        allow_custom_value=True,
    )
    with gr.Row():
        _make(known, AMOUNT, first, made, min_width=150)
    more = gr.Accordion("More, often changed", open=False, elem_id="tanren-more", elem_classes=["tanren-group"])
    with more, gr.Column(elem_classes=["tanren-fields"]):
        _make(known, MORE, first, made)
    return reload


def _all_settings(rest: Iterable[Field], first: Mapping[str, Any], made: dict[str, Component]) -> Component:
    """The groups of the full view, folded, with the search above them."""
    with gr.Column(visible=False, elem_id="tanren-groups") as groups:
        gr.Textbox(
            label="Find a setting",
            placeholder="name, word or kohya's flag",
            max_lines=1,
            elem_id="tanren-search",
        )
        for place, (heading, members) in enumerate(by_heading(rest).items()):
            group = gr.Accordion(heading, open=False, elem_id=f"tanren-group-{place}", elem_classes=["tanren-group"])
            with group, gr.Column(elem_classes=["tanren-fields"]):
                _make({field.name: field for field in members}, [field.name for field in members], first, made)
    return groups


def _make(
    known: Mapping[str, Field],
    names: Iterable[str],
    first: Mapping[str, Any],
    made: dict[str, Component],
    min_width: int = 160,
) -> None:
    for name in names:
        made[name] = component(known[name], first.get(name, ""), min_width=min_width)
