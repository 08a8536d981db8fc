"""The whole form as it should look now: fields, presets, the training that is meant, the plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from .gradio_lines import Component
from .train_form import TrainForm
from .train_layout import TrainParts

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
    return {
        **parts.form.filled(raw, before),
        parts.preset: gr.update(choices=form.preset_names(training.command), value=preset or None),
        parts.about_model: gr.update(value=form.about_model(raw)),
        parts.about_preset: gr.update(value=form.about_preset(raw, preset)),
        parts.laid_out: gr.update(value=training.command),
        parts.plan: gr.update(value=form.plan(raw, preset, is_draft=is_draft)),
    }
