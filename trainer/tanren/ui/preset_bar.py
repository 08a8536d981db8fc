"""Choosing, saving and deleting presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ..errors import UserError
from .context import Context
from .gradio_lines import Component, html, listen
from .said import done, refused
from .train_form import TrainForm
from .train_layout import TrainParts
from .train_view import Updates, form_updates, whole_form

Values = Mapping[Component, Any]


@dataclass(frozen=True)
class PresetBar:
    """The parts for keeping presets and their handlers.

    Args:
        context: surroundings, jobs and doorkeeper.
        form: what presets are made of.
        parts: the form's components; the list of presets is one of them.
        name, replace, save, delete, said: the bar itself.
    """

    context: Context
    form: TrainForm
    parts: TrainParts
    name: Component
    replace: Component
    save: Component
    delete: Component
    said: Component

    def connect(self) -> None:
        """Connect the events."""
        reads, writes, fields = self.context.reads, self.context.writes, set(self.parts.form.components.values())
        every = [one for one in (*whole_form(self.parts), self.said) if one is not self.parts.preset]
        listen(self.parts.preset.select, reads(self.choose), fields | {self.parts.preset}, every, newest_wins=True)
        kept = [self.parts.preset, self.parts.about_preset, self.parts.plan, self.said]
        listen(self.save.click, writes(self.keep), fields | {self.name, self.replace}, kept)
        listen(self.delete.click, writes(self.remove), fields | {self.parts.preset}, kept)

    def choose(self, values: Values) -> Updates:
        """Set all fields to a preset; pictures, model and name stay."""
        text, before = values[self.parts.preset] or "", self.parts.form.raw(values)
        try:
            raw = self.form.chosen_preset(before, text)
        except UserError as problem:
            return {self.said: gr.update(value=refused(problem, self.context.words))}
        updates = form_updates(self.parts, self.form, raw, before, text)
        # The list holds the choice already; setting it again would close it under the hand.
        updates.pop(self.parts.preset)
        return {**updates, self.said: gr.update(value="")}

    def keep(self, values: Values) -> Updates:
        """Save the form as one of the user's presets."""
        words, raw = self.context.words, self.parts.form.raw(values)
        try:
            text = self.form.save_preset(raw, values[self.name] or "", replace=bool(values[self.replace]))
        except UserError as problem:
            return {self.said: gr.update(value=refused(problem, words))}
        said = done("The preset {name} is saved.", words, name=text)
        return {
            self.parts.preset: gr.update(choices=self._names(raw), value=text),
            self.parts.about_preset: gr.update(value=self.form.about_preset(raw, text)),
            self.parts.plan: gr.update(value=self.form.plan(raw, text)),
            self.said: gr.update(value=said),
        }

    def remove(self, values: Values) -> Updates:
        """Put the chosen preset into the trash, if it is one of the user's."""
        words, raw, text = self.context.words, self.parts.form.raw(values), values[self.parts.preset] or ""
        try:
            self.form.delete_preset(text)
        except UserError as problem:
            return {self.said: gr.update(value=refused(problem, words))}
        said = done("The preset {name} is in the trash of the data folder.", words, name=text)
        return {
            self.parts.preset: gr.update(choices=self._names(raw), value=None),
            self.parts.about_preset: gr.update(value=self.form.about_preset(raw, "")),
            self.said: gr.update(value=said),
        }

    def _names(self, raw: Mapping[str, Any]) -> list[str]:
        return self.form.preset_names(self.form.training(raw).command)


def build(context: Context, form: TrainForm, parts: TrainParts) -> PresetBar:
    """Make the parts, inside of whatever is open at the moment."""
    with gr.Row(elem_classes=["tanren-with-button"]):
        name = gr.Textbox(
            label="Name of a new preset",
            info="Keeps how the form trains; pictures, model and name are not part of a preset.",
            max_lines=1,
            elem_id="tanren-preset-name",
            scale=4,
        )
        replace = gr.Checkbox(label="Replace the preset of this name", elem_id="tanren-preset-replace", scale=2)
    with gr.Row():
        save = gr.Button("Save as preset", elem_id="tanren-preset-save", size="sm")
        delete = gr.Button("Delete the chosen preset", elem_id="tanren-preset-delete", size="sm")
    said = html(elem_id="tanren-preset-said")
    return PresetBar(context, form, parts, name, replace, save, delete, said)
