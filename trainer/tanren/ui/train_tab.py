"""The tab of the train form: its parts, and what happens when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import gradio as gr

from . import exchange_view, preset_bar
from .context import Context
from .form_groups import BASE_MODEL
from .gradio_lines import Component, listen
from .help_card import help_card
from .html import Html, render
from .train_form import TrainForm
from .train_layout import ALL_SETTINGS, TrainParts, lay_out
from .train_view import Updates, form_updates, whole_form

Values = Mapping[Component, Any]


# What the page script keeps of a form; it may not be loaded yet when the page is filled in.
KEPT_DRAFT = """() => {
    try { return [window.sessionStorage.getItem("tanren.draft") || ""]; } catch (error) { return [""]; }
}"""
# Every answer to a check is another one for the page script, which then knows that the next check may be asked for.
ANSWER = '<div data-answer="{id}">{plan}</div>'


def answer(plan: Html) -> Html:
    """A plan that answers a check."""
    return render(ANSWER, id=uuid4().hex, plan=plan)


class TrainTab:
    """The parts of the tab and its handlers; each handler reads the form, calls one function, shows the outcome.

    Args:
        context: surroundings, jobs and doorkeeper.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.form = TrainForm(context)
        self.parts: TrainParts = lay_out(context.words)
        with gr.Accordion("Presets, import and export", open=False, elem_id="tanren-exchange"):
            self.presets = preset_bar.build(context, self.form, self.parts)
            self.exchange = exchange_view.build(context, self.form, self.parts)

    def connect(self, page: gr.Blocks) -> None:
        """Connect all events; `page.load` fills in what is known only once a browser is there."""
        parts, reads = self.parts, self.context.reads
        fields, whole = set(parts.form.components.values()), whole_form(parts)
        listen(page.load, reads(self.open), [parts.draft], [*whole, parts.guide, parts.outcome], js=KEPT_DRAFT)
        listen(parts.view.change, reads(self.switch), [parts.view], [parts.groups])
        listen(parts.reload.click, reads(self.read_lists), outputs=[parts.form.components[BASE_MODEL]])
        chosen = fields | {parts.preset, parts.laid_out}
        listen(parts.check.click, reads(self.check), chosen, [parts.plan, parts.about_model], newest_wins=True)
        listen(parts.fit.click, reads(self.fit), chosen, whole)
        listen(parts.grant.click, reads(self.grant), chosen | {parts.wish}, whole)
        listen(parts.start.click, reads(self.start), fields | {parts.request}, [parts.outcome])
        self.presets.connect()
        self.exchange.connect()

    def open(self, draft: str) -> Updates:
        """Fill a page that was just opened: with what this browser tab had in the form, or with a proposal."""
        self.form.read_lists()
        raw, preset = self.form.opened(draft or "")
        is_first_time = not self.context.shelf.all()
        return {
            **form_updates(self.parts, self.form, raw, self.parts.first, preset, is_draft=bool(draft)),
            self.parts.form.components[BASE_MODEL]: self._base_model(raw[BASE_MODEL]),
            self.parts.guide: gr.update(value=help_card(self.context.words, is_first_time=is_first_time)),
            self.parts.outcome: gr.update(value=self.form.notice()),
        }

    def switch(self, view: str) -> Updates:
        """Show the few questions, or all settings below them."""
        return {self.parts.groups: gr.update(visible=view == ALL_SETTINGS)}

    def read_lists(self) -> Updates:
        """Look for base models again, and propose the one in use."""
        self.form.read_lists()
        return {self.parts.form.components[BASE_MODEL]: self._base_model(self.form.models.proposed)}

    def check(self, values: Values) -> Updates:
        """Say what the form would do."""
        raw, laid_out = self.parts.form.raw(values), values[self.parts.laid_out] or ""
        plan = self.form.plan(raw, values[self.parts.preset] or "", laid_out=laid_out)
        return {
            self.parts.plan: gr.update(value=answer(plan)),
            self.parts.about_model: gr.update(value=self.form.about_model(raw)),
        }

    def fit(self, values: Values) -> Updates:
        """Turn the form to the training that the base model leads to."""
        before = self.parts.form.raw(values)
        laid_out = values[self.parts.laid_out] or ""
        raw, preset = self.form.fitted(before, values[self.parts.preset] or "", laid_out)
        return form_updates(self.parts, self.form, raw, before, preset)

    def grant(self, values: Values) -> Updates:
        """Put the values into the fields that a button of the plan asks for."""
        before = self.parts.form.raw(values)
        raw = self.form.granted(before, values[self.parts.wish] or "")
        return form_updates(self.parts, self.form, raw, before, values[self.parts.preset] or "")

    def start(self, values: Values) -> Updates:
        """Make a job of the form; a request without an id, as from a page without script, is one of its own."""
        request = values[self.parts.request] or uuid4().hex
        return {self.parts.outcome: gr.update(value=self.form.start(self.parts.form.raw(values), request))}

    def _base_model(self, text: str) -> Any:
        return gr.update(choices=list(self.form.models.paths), value=text)
