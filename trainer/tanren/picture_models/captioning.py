"""Captions for the pictures of a folder, whatever model they come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import DataError
from ..events import Report
from .pictures import Found, Outcome, Read, find_pictures, read_batches, tell_failure
from .requests import CaptionRequest
from .writing import NewCaption, caption_so_far, changes, write_captions

# For each picture of a batch what was found, and facts about it for whoever watches.
Look = Callable[[list[Read]], list[tuple[list[str], dict[str, Any]]]]
# The old caption and what was found: the new caption, or None when it stays as it is.
NewText = Callable[[str, list[str]], str | None]


def caption_folder(
    request: CaptionRequest,
    look: Look,
    new_text: NewText,
    phase_name: str,
    title: str,
    report: Report,
) -> Outcome:
    """Write captions; with "fill", pictures that have one are not even looked at.

    Args:
        look: what the model says about a batch.
        new_text: makes the caption.
        phase_name: for progress.
        title: of the operation in the journal.
    """
    outcome = Outcome()
    pictures = find_pictures(
        request.folder, report, recursive=request.recursive, caption_extension=request.caption_extension
    )
    if request.mode == "fill":
        pictures = _without_caption(pictures, report, outcome)
    with (
        report.phase(phase_name, len(pictures)) as phase,
        changes(title, request.folder, dry_run=request.dry_run) as recorder,
    ):
        for batch in read_batches(pictures, request.batch_size, phase, report, outcome):
            new = []
            for read, (found, facts) in zip(batch, look(batch), strict=True):
                try:
                    # Read only now: somebody may have written it while the model was at work.
                    before, data = caption_so_far(read.found)
                except DataError as problem:
                    tell_failure(problem, report, outcome)
                    continue
                new.append(NewCaption(read.found, new_text(before, found), data, facts))
            write_captions(new, recorder, report, outcome)
    return outcome


def _without_caption(pictures: list[Found], report: Report, outcome: Outcome) -> list[Found]:
    empty = []
    for found in pictures:
        try:
            if caption_so_far(found)[0].strip():
                outcome.unchanged += 1
            else:
                empty.append(found)
        except DataError as problem:
            tell_failure(problem, report, outcome)
    return empty
