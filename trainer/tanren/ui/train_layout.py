"""Where the parts of the train form stand: the few questions first, everything else grouped behind a switch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ..options.contents import CONCEPTS
from . import concept_questions as concept
from . import control_questions as control
from .base_models import MICRO_SD
from .fields import Field
from .form_groups import AMOUNT, ASKED_OTHERWISE, BASE_MODEL, MORE, group_id, groups
from .form_view import FormView, component
from .gradio_lines import Component, hidden_button, hidden_text, html
from .help_card import help_card
from .html import render
from .simple_view import OWN
from .trainings import BASE_KIND, GOAL, GOAL_FIELD, GOALS, KIND_FIELD, all_fields, usual_values
from .words import Words

SIMPLE_VIEW, ALL_SETTINGS = "Simple view", "All settings"
NAME_INFO = "What your LoRA and its files will be called."
CONCEPTS_INFO = "This text is what is learned, instead of the questions: TOML, or the path of a .toml file."


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
        about_model: which training the base model leads to.
        about_preset: what the preset is for.
        laid_out: command whose fields the form shows.
        wish: values that a button of the plan asks for.
        check, fit, grant, start: buttons; all but the last are pressed by the page script.
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
    about_model: Component
    about_preset: Component
    laid_out: Component
    wish: Component
    check: Component
    fit: Component
    grant: Component
    start: Component
    reload: Component
    guide: Component


def lay_out(words: Words) -> TrainParts:
    """Make the components, inside of whatever is open at the moment."""
    own = (GOAL_FIELD, KIND_FIELD, *OWN, *concept.OWN, *control.OWN)
    known = {field.name: field for field in (*own, *all_fields()) if field.name not in ASKED_OTHERWISE}
    first = {**usual_values(), BASE_MODEL: words(MICRO_SD)}
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
            preset, about_model, about_preset = (made.pop(name) for name in ("preset", "about_model", "about_preset"))
            full_view = _all_settings(first, made)
        with gr.Column(elem_id="tanren-side", scale=2, min_width=300):
            plan = html(render("<p>{text}</p>", text=words("The plan appears here.")), elem_id="tanren-plan")
            start = gr.Button("Start training", variant="primary", elem_id="tanren-start")
            outcome = html(elem_id="tanren-outcome")
    return TrainParts(
        form=FormView(made),
        first=first,
        groups=full_view,
        view=view,
        preset=preset,
        plan=plan,
        outcome=outcome,
        request=hidden_text("tanren-request"),
        draft=hidden_text("tanren-draft"),
        about_model=about_model,
        about_preset=about_preset,
        laid_out=hidden_text("tanren-laid-out"),
        wish=hidden_text("tanren-wish"),
        check=hidden_button("tanren-check"),
        fit=hidden_button("tanren-fit"),
        grant=hidden_button("tanren-grant"),
        start=start,
        reload=reload,
        guide=guide,
    )


def _questions(known: Mapping[str, Field], first: Mapping[str, Any], made: dict[str, Component]) -> Component:
    """What both views show; the button that reads the lists of models anew."""
    made[GOAL] = component(known[GOAL], first[GOAL], at_a_glance=len(GOALS))
    made["about_model"] = html(elem_id="tanren-about-model")
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
    made[BASE_KIND] = component(known[BASE_KIND], first[BASE_KIND])
    made["pictures"] = component(known["pictures"], "")
    made[control.CONTROL_FOLDER] = component(known[control.CONTROL_FOLDER], "")
    _concept_questions(known, first, made)
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
    made["about_preset"] = html(elem_id="tanren-about-preset")
    with gr.Row():
        _make(known, (*AMOUNT, concept.SIZE, concept.BATCH), first, made, min_width=150)
    more = gr.Accordion("More, often changed", open=False, elem_id="tanren-more", elem_classes=["tanren-group"])
    with more, gr.Column(elem_classes=["tanren-fields"]):
        _make(known, MORE, first, made)
    return reload


def _concept_questions(known: Mapping[str, Field], first: Mapping[str, Any], made: dict[str, Component]) -> None:
    """What is asked where there are no pictures, and the text that may stand in its place."""
    with gr.Column(elem_id=concept.COLUMN):
        made[concept.ACTION] = component(known[concept.ACTION], first[concept.ACTION], at_a_glance=len(concept.ACTIONS))
        made[concept.WHAT] = component(known[concept.WHAT], "")
        with gr.Row(elem_id=concept.ENDS_ROW):
            _make(known, (concept.PLUS, concept.MINUS), first, made, min_width=220)
        with gr.Row(elem_id=concept.HOW_ROW):
            made[concept.NEUTRAL] = component(known[concept.NEUTRAL], "", min_width=220, scale=2)
            made[concept.STRENGTH] = component(known[concept.STRENGTH], first[concept.STRENGTH], min_width=150)
        made[CONCEPTS] = component(known[CONCEPTS], "", info=CONCEPTS_INFO)


def _all_settings(first: Mapping[str, Any], made: dict[str, Component]) -> Component:
    """The groups of the full view, folded, with the search above them."""
    with gr.Column(visible=False, elem_id="tanren-groups") as full_view:
        gr.Textbox(
            label="Find a setting",
            placeholder="name, word or kohya's flag",
            max_lines=1,
            elem_id="tanren-search",
        )
        for heading, members in groups().items():
            group = gr.Accordion(heading, open=False, elem_id=group_id(heading), elem_classes=["tanren-group"])
            with group, gr.Column(elem_classes=["tanren-fields"]):
                _make({field.name: field for field in members}, [field.name for field in members], first, made)
    return full_view


def _make(
    known: Mapping[str, Field],
    names: Iterable[str],
    first: Mapping[str, Any],
    made: dict[str, Component],
    min_width: int = 160,
) -> None:
    for name in names:
        made[name] = component(known[name], first.get(name, ""), min_width=min_width)
