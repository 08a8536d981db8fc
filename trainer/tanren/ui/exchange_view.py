"""Settings in and out of the form: files of sd-scripts and of kohya_ss' GUI, and the command line.

Files are read and written by the browser; the server sees their text only and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ..errors import UserError
from .context import Context
from .gradio_lines import Component, hidden_text, html, listen, textbox
from .said import refused
from .settings_files import KINDS, SHELL
from .train_form import TrainForm
from .train_layout import TrainParts
from .train_view import Updates, form_updates, whole_form

Values = Mapping[Component, Any]

CHOOSE = "() => { window.tanren.chooseSettings(); return []; }"
COPY = "(text) => { window.tanren.copy(text); return []; }"
DOWNLOAD = "(name, text) => { window.tanren.download(name, text); return []; }"


@dataclass(frozen=True)
class ExchangeView:
    """The parts for import and export and their handlers.

    Args:
        context: surroundings, jobs and doorkeeper.
        form: whose settings come and go.
        parts: the form's components.
        text, choose, take, report: of the import.
        kind, show, copy_line, download, written, file_name, said: of the export.
    """

    context: Context
    form: TrainForm
    parts: TrainParts
    text: Component
    choose: Component
    take: Component
    report: Component
    kind: Component
    show: Component
    copy_line: Component
    download: Component
    written: Component
    file_name: Component
    said: Component

    def connect(self) -> None:
        """Connect the events."""
        reads, fields = self.context.reads, set(self.parts.form.components.values())
        every = [*whole_form(self.parts), self.report]
        listen(self.choose.click, None, js=CHOOSE)
        known = fields | {self.text, self.parts.preset, self.parts.laid_out}
        listen(self.take.click, reads(self.take_over), known, every)
        shown = [self.written, self.file_name, self.said]
        listen(self.show.click, reads(self.show_text), fields | {self.kind}, shown)
        copied = listen(self.copy_line.click, reads(self.show_line), fields, [*shown, self.kind])
        listen(copied.then, None, [self.written], js=COPY)
        listen(self.download.click, None, [self.file_name, self.written], js=DOWNLOAD)

    def take_over(self, values: Values) -> Updates:
        """Set the fields to what a file says, and report what was understood."""
        raw = self.parts.form.raw(values)
        try:
            filled, report = self.form.imported(raw, values[self.text] or "")
        except UserError as problem:
            return {self.report: gr.update(value=refused(problem, self.context.words))}
        is_same = self.form.training(filled).command == values[self.parts.laid_out]
        preset = (values[self.parts.preset] or "") if is_same else ""
        updates = form_updates(self.parts, self.form, filled, raw, preset)
        return {**updates, self.report: gr.update(value=report)}

    def show_text(self, values: Values) -> Updates:
        """Write the settings in the form that was chosen."""
        return self._written(values, values[self.kind])

    def show_line(self, values: Values) -> Updates:
        """Write the settings as a command line, which the page then copies."""
        return {**self._written(values, SHELL), self.kind: gr.update(value=SHELL)}

    def _written(self, values: Values, kind: str) -> Updates:
        try:
            name, text = self.form.exported(self.parts.form.raw(values), kind)
        except UserError as problem:
            said = refused(problem, self.context.words)
            return {self.written: gr.update(value=""), self.said: gr.update(value=said)}
        return {
            self.written: gr.update(value=text),
            self.file_name: gr.update(value=name),
            self.said: gr.update(value=""),
        }


def build(context: Context, form: TrainForm, parts: TrainParts) -> ExchangeView:
    """Make the parts, inside of whatever is open at the moment."""
    with gr.Row():
        with gr.Column(min_width=300):
            text = gr.Textbox(
                label="Settings of another program",
                info="A config or dataset file of sd-scripts (TOML), what kohya_ss' GUI saved (JSON), or LECO prompts "
                "(TOML or YAML). Choose the file, drop it here, or paste its text.",
                lines=5,
                max_lines=12,
                elem_id="tanren-import",
            )
            with gr.Row():
                choose = gr.Button("Choose a settings file", elem_id="tanren-choose-file", size="sm")
                take = gr.Button("Take the text over", elem_id="tanren-take-over", size="sm")
            report = html(elem_id="tanren-import-report")
        with gr.Column(min_width=300):
            kind = gr.Dropdown(list(KINDS), value=SHELL, label="Write these settings as", elem_id="tanren-export-kind")
            written = textbox(
                label="Settings as text",
                lines=5,
                max_lines=12,
                interactive=False,
                copyable=True,
                elem_id="tanren-export",
            )
            with gr.Row():
                show = gr.Button("Write the settings", elem_id="tanren-export-show", size="sm")
                copy_line = gr.Button("Copy as command line", elem_id="tanren-copy-line", size="sm")
                download = gr.Button("Download the text", elem_id="tanren-export-download", size="sm")
            said = html(elem_id="tanren-export-said")
    name = hidden_text("tanren-export-name")
    return ExchangeView(
        context, form, parts, text, choose, take, report, kind, show, copy_line, download, written, name, said
    )
