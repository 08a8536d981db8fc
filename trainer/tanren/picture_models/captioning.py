"""Captions for the pictures of a folder, whatever model they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import DataError
from ..events import Report
from ..preparation.journal import Write
from .pictures import Found, Outcome, Read, find_pictures, read_batches, tell_failure
from .portions import Portions
from .requests import CaptionRequest
from .writing import caption_so_far

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
        request.folder,
        report,
        recursive=request.recursive,
        caption_extension=request.caption_extension,
        only=request.only,
    )
    if request.mode == "fill":
        pictures = _without_caption(pictures, report, outcome)
    with (
        report.phase(phase_name, len(pictures)) as phase,
        Portions(title, request.folder, report) as portions,
    ):
        for batch in read_batches(pictures, request.batch_size, phase, report, outcome):
            for read, (found, facts) in zip(batch, look(batch), strict=True):
                caption = NewCaption(read.found, found, new_text, report, outcome)
                if caption.is_told(facts) and not request.dry_run:
                    portions.add(caption.writes)
                elif request.dry_run:
                    outcome.written += caption.differs
    return outcome


class NewCaption:
    """A caption that is to be written."""

    def __init__(self, found: Found, words: list[str], new_text: NewText, report: Report, outcome: Outcome) -> None:
        self._found, self._words, self._new_text = found, words, new_text
        self._report, self._outcome = report, outcome
        self.differs = False

    def is_told(self, facts: dict[str, Any]) -> bool:
        """Tell what the caption will be; False when it stays as it is or cannot be read."""
        try:
            text = self._new_text(caption_so_far(self._found)[0], self._words)
        except DataError as problem:
            tell_failure(problem, self._report, self._outcome)
            return False
        self.differs = text is not None
        shown = "stays as it is" if text is None else text
        self._report.tell("picture", file=str(self._found.path), changed=self.differs, text=shown, **facts)
        if not self.differs:
            self._outcome.unchanged += 1
        return self.differs

    def writes(self) -> Sequence[Write]:
        """The caption file as it will be, seen from what it holds now: somebody may have written it meanwhile."""
        try:
            before, data = caption_so_far(self._found)
        except DataError as problem:
            tell_failure(problem, self._report, self._outcome)
            return ()
        text = self._new_text(before, self._words)
        if text is None:
            self._outcome.unchanged += 1
            return ()
        self._outcome.written += 1
        return (Write(self._found.caption, f"{text}\n".encode(), data),)


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
