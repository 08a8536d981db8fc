"""The place of pictures and captions; the page script fills it."""

from __future__ import annotations

from .gradio_lines import html
from .html import render
from .words import Words

PLACE = '<div id="tanren-data" class="tanren-data"><p>{wait}</p></div>'


def build(words: Words) -> None:
    """The container, with a sentence for pages whose script did not load."""
    html(render(PLACE, wait=words("The view of your pictures is on its way.")), elem_id="tanren-data-place")
