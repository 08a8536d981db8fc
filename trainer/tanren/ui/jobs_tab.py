"""The place of the jobs: an empty container that the page script fills and keeps up to date."""

from __future__ import annotations

from .gradio_lines import Component, html
from .html import render
from .words import Words

PAGE = '<div id="tanren-live" class="tanren-live"><p>{wait}</p></div>'


def build(words: Words) -> Component:
    """The container, with a sentence for pages whose script did not load."""
    return html(
        render(PAGE, wait=words("The list of jobs is on its way.")),
        elem_id="tanren-jobs",
    )
