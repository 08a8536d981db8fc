"""`tag`: tags for the captions of a folder."""

from __future__ import annotations

from typing import Any

from ..events import Report
from .captioning import caption_folder
from .pictures import Outcome, Read
from .place import find_model
from .requests import TagRequest
from .tag_choice import choose_tags, merged
from .tagger import MODEL_FILES, open_tagger


def tag(request: TagRequest, report: Report) -> Outcome:
    """Look at the pictures with a tagger and write what it finds."""
    with report.phase("load"):
        place = find_model(request.model, MODEL_FILES, download=request.download)
        tagger = open_tagger(place, request.device, report)

    def look(batch: list[Read]) -> list[tuple[list[str], dict[str, Any]]]:
        scores = tagger.scores([read.pixels for read in batch])
        found = [choose_tags(tagger.labels, map(float, row), request.rules) for row in scores]
        return [
            ([tag.text for tag in tags], {"tags": [(tag.text, round(tag.score, 4)) for tag in tags]}) for tags in found
        ]

    def new_text(before: str, tags: list[str]) -> str | None:
        return merged(before, tags, request.mode, request.rules)

    return caption_folder(request, look, new_text, "tag", "Tag pictures", report)
