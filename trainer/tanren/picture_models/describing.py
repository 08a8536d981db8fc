"""`describe`: sentences for the captions of a folder."""

from __future__ import annotations

from typing import Any

from ..events import Report
from .captioner import NEEDED_FILES, open_captioner
from .captioning import caption_folder
from .pictures import Outcome, Read
from .place import find_model
from .requests import DescribeRequest


def describe(request: DescribeRequest, report: Report) -> Outcome:
    """Look at the pictures with a captioner and write what it says."""
    with report.phase("load"):
        place = find_model(request.model, NEEDED_FILES, download=request.download)
        captioner = open_captioner(place, request.device, request.precision)

    def look(batch: list[Read]) -> list[tuple[list[str], dict[str, Any]]]:
        texts = captioner.captions([read.pixels for read in batch], request.rules)
        return [([text], {"sentence": text}) for text in texts]

    def new_text(before: str, texts: list[str]) -> str | None:
        return joined(before, texts[0], request.prefix, request.mode)

    return caption_folder(request, look, new_text, "describe", "Describe pictures", report)


def joined(before: str, sentence: str, prefix: str, mode: str) -> str | None:
    """The new caption, or None when it stays as it is.

    Args:
        before: the caption so far.
        sentence: what the model says.
        prefix: opens captions that do not hold it yet.
        mode: of `tag_choice.MODES`.
    """
    old = before.strip()
    if mode == "fill" and old:
        return None
    kept = old if mode == "append" else ""
    opening = "" if prefix in kept else prefix
    addition = "" if sentence in kept else sentence
    text = ", ".join(filter(None, (opening, kept, addition)))
    # A model that says nothing is no reason to empty a caption.
    return None if not sentence or text == old else text
