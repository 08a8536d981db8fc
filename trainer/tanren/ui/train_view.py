"""The whole form as it should look now: fields, presets, the training that is meant, the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from .gradio_lines import Component
from .simple_view import OWN
from .train_form import TrainForm
from .train_layout import NAME_INFO, TrainParts
from .trainings import CONTROL, Training, all_fields, renamed
from .words import Words

Updates = dict[Component, Any]


def whole_form(parts: TrainParts) -> list[Component]:
    """What `form_updates` may change."""
    told = (parts.preset, parts.about_model, parts.about_preset, parts.laid_out, parts.plan)
    return [*parts.form.components.values(), *told]


def form_updates(
    parts: TrainParts,
    form: TrainForm,
    raw: Mapping[str, Any],
    before: Mapping[str, Any],
    preset: str,
    *,
    is_draft: bool = True,
) -> Updates:
    """Show these values, and everything that follows from them.

    Args:
        parts: the components.
        form: what they are made from.
        raw: what the fields are to hold.
        before: what they held when the browser asked.
        preset: text of the chosen preset; empty for none.
        is_draft: somebody did something, which the browser keeps.
    """
    training = form.training(raw)
    told = wordings(parts, training, form.context.words)
    for component, update in parts.form.filled(raw, before).items():
        told[component] = {**told.get(component, {}), **update}
    return {
        **told,
        parts.preset: gr.update(choices=form.preset_names(training.command), value=preset or None),
        parts.about_model: gr.update(value=form.about_model(raw)),
        parts.about_preset: gr.update(value=form.about_preset(raw, preset)),
        parts.laid_out: gr.update(value=training.command),
        parts.plan: gr.update(value=form.plan(raw, preset, is_draft=is_draft)),
    }


def wordings(parts: TrainParts, training: Training, words: Words) -> Updates:
    """Labels of the fields that are not called the same in all trainings."""
    known = {field.name: field for field in (*OWN, *all_fields())}
    updates: Updates = {}
    for name in renamed():
        if name not in training.hidden and name in parts.form.components:
            label, sentence = training.wording(known[name])
            about = NAME_INFO if name == "output_name" and training.goal != CONTROL else sentence
            updates[parts.form.components[name]] = gr.update(label=words(label), info=words(about))
    return updates
