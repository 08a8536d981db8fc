"""The place of the LoRA files: the table of all above, the file that was opened below; the page script fills both."""

from __future__ import annotations

from .gradio_lines import html
from .html import render
from .words import Words

LIBRARY = '<div id="tanren-library" class="tanren-library"></div>'
FILE = '<div id="tanren-lora" class="tanren-lora"><p>{wait}</p></div>'


def build(words: Words) -> None:
    """The two containers, with a sentence for pages whose script did not load."""
    html(render(LIBRARY), elem_id="tanren-library-place")
    html(render(FILE, wait=words("The view of a file is on its way.")), elem_id="tanren-lora-place")
