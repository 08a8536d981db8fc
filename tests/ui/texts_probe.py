"""What a gradio line shows of our page, as JSON: a program for the interpreters of all lines.

    python texts_probe.py DATA_FOLDER

Prints the texts of the standalone page in English and in Japanese.
"""

from __future__ import annotations

import json
import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
import gradio as gr
from tanren.jobs.shelf import Shelf
from tanren.ui import app
from tanren.ui.context import Context
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone

READ_ALOUD = ("title", "alt", "placeholder", "aria-label")


class TextNodes(HTMLParser):
    """Collects what a piece of HTML shows."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_data(self, data: str) -> None:
        """A text node."""
        self.found |= {data.strip()}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Attributes that are read by people."""
        self.found |= {value for name, value in attrs if value and name in READ_ALOUD}


def texts_of(block: Any) -> set[str]:
    """What one part of the page shows."""
    found = {getattr(block, name, None) for name in ("label", "info", "placeholder")}
    if isinstance(block, (gr.HTML, gr.Markdown)):
        nodes = TextNodes()
        nodes.feed(block.value or "")
        found |= nodes.found
    if isinstance(block, gr.Button):
        found.add(block.value)
    if isinstance(block, (gr.Radio, gr.Dropdown)):
        # gradio 3 lists plain texts, the others pairs of what is shown and what it means.
        found |= {str(choice[0]) if isinstance(choice, tuple) else str(choice) for choice in block.choices}
    return {text for text in found if text}


def page_texts(folder: Path, language: str) -> list[str]:
    """All texts of the standalone page."""
    around = Standalone(folder, language=language)
    page = app.build(Context(around, Shelf(around.data_dir), Guard(around.access)))
    return sorted({text for block in page.blocks.values() for text in texts_of(block)})


print(json.dumps({language: page_texts(Path(sys.argv[1]), language) for language in ("en", "ja_JP")}))
