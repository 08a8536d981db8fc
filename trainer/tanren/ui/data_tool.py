"""What a tool for pictures and captions is to the page: its questions, what it would do, and doing it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ..errors import UsageError
from ..options.dataset_plan import DatasetPlan
from ..preparation.caption_files import AUTO
from ..preparation.journal import Journal
from ..preparation.levels import Level
from .data_work import Work
from .words import Text, Words

TEXT, LINES, NUMBER, FLAG, CHOICE, FOLDER, SLIDER = "text", "lines", "number", "flag", "choice", "folder", "slider"
COLOUR, UPLOAD = "colour", "upload"
LONGEST_VALUE, LONGEST_FILE = 20_000, 30_000_000


@dataclass(frozen=True)
class Field:
    """One question of a tool.

    Args:
        name: of the value.
        label: in English.
        kind: TEXT, LINES, NUMBER, FLAG, CHOICE, FOLDER, SLIDER, COLOUR (as `#rrggbb`) or UPLOAD (the path of a
            file, or what is in one that was chosen in the browser).
        value: what stands there at first.
        choices: for CHOICE, value and label each.
        help: one sentence.
        minimum, maximum, step: for numbers.
        is_required: an empty text is refused.
        is_more: it stands behind "More settings".
    """

    name: str
    label: str
    kind: str = TEXT
    value: Any = ""
    choices: tuple[tuple[str, str], ...] = ()
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    is_required: bool = False
    is_more: bool = False


@dataclass(frozen=True)
class Shown:
    """One file that would change: its name and what is in it before and after; None for no file."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Request:
    """What a tool is asked to do.

    Args:
        level: the folder as it is understood.
        pictures: files the page shows; only these are meant.
        values: the answers to the tool's questions.
        plan: resolution and buckets that the page shows.
        suffix: of captions, when one was chosen.
        encoding: of captions that are not in UTF-8.
        data: our data folder.
        roots: files outside of these must not be read or written; None: any.
        python: of the trainer's environment; None where that is not ready.
        is_training: a training computes at this moment.
    """

    level: Level
    pictures: Sequence[Path]
    values: Mapping[str, Any]
    plan: DatasetPlan
    data: Path
    suffix: str | None = None
    encoding: str = AUTO
    roots: tuple[Path, ...] | None = None
    python: Path | None = None
    is_training: bool = False


class Prepared(Protocol):
    """What would be done; nothing is changed yet."""

    @property
    def count(self) -> int:
        """Files that would change."""

    def shown(self, most: int) -> list[Shown]:
        """The first of them."""

    def notes(self) -> list[Text]:
        """What else there is to say."""

    def carry_out(self, journal: Journal, work: Work) -> Text:
        """Do it; a sentence about the outcome."""


class Sampled(Protocol):
    """What can show what becomes of one picture."""

    def sample(self, picture: Path) -> Image.Image:
        """The outcome for a picture."""


class Tried(Protocol):
    """What can try itself on one picture, in the background."""

    def try_on(self, picture: Path, work: Work) -> Text:
        """Put what would be made of it into `work.trial`."""


@dataclass(frozen=True)
class Tool:
    """A tool.

    Args:
        name: in requests and elements.
        title, about: in English.
        fields: its questions.
        prepare: says what would be done.
        go: on the button.
        scope: "pictures" when it works on those that are shown, "folder" for all of a folder.
        ask: a question before it is done; empty for none.
        has_preview: what would change can be shown before.
        has_sample: what it makes of one picture can be shown; `Sampled` is what it prepares then.
        shows: mark (data_choice.py) of the pictures on which it is shown best; empty for any.
        only_shows: it changes nothing at all.
        can_try: it can look at one picture without writing anything; `Tried` is what it prepares then.
        download: name under which its outcome can also be downloaded; empty when it cannot.
        needs: TRAINER, TAGGING or nothing (data_needs.py): what has to be installed for it.
    """

    name: str
    title: str
    about: str
    fields: tuple[Field, ...]
    prepare: Callable[[Request], Prepared]
    go: str = "Do it"
    scope: str = "pictures"
    ask: str = ""
    has_preview: bool = True
    has_sample: bool = False
    shows: str = ""
    only_shows: bool = False
    can_try: bool = False
    download: str = ""
    needs: str = ""

    def told(self, words: Words) -> dict[str, Any]:
        """For the page."""
        return {
            "name": self.name,
            "title": words(self.title),
            "about": words(self.about),
            "go": words(self.go),
            "scope": self.scope,
            "ask": words(self.ask) if self.ask else "",
            "has_preview": self.has_preview,
            "has_sample": self.has_sample,
            "only_shows": self.only_shows,
            "needs": self.needs,
            "can_try": self.can_try,
            "download": self.download,
            "fields": [_field_told(field, words) for field in self.fields],
        }


@dataclass(frozen=True)
class Group:
    """Tools that belong together."""

    title: str
    tools: tuple[Tool, ...]


def checked_values(tool: Tool, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a request, each of the kind its question has.

    Raises:
        UsageError: one is not, or is missing.
    """
    return {field.name: _checked(field, given.get(field.name, field.value)) for field in tool.fields}


def _checked(field: Field, value: Any) -> Any:
    where = field.label
    if field.kind == FLAG:
        return value is True
    if field.kind in (NUMBER, SLIDER):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise UsageError(where=where, what="This is not a number.")
        low, high = field.minimum, field.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise UsageError(where=where, what=f"{value:g} is out of range.")
        return value
    text = str(value or "")
    longest = LONGEST_FILE if field.kind == UPLOAD else LONGEST_VALUE
    if len(text) > longest:
        raise UsageError(where=where, what=f"The text is longer than {longest} characters.")
    if field.is_required and not text.strip():
        raise UsageError(where=where, what="This is empty.", fix="Fill it in.")
    if field.kind == COLOUR and not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise UsageError(where=where, what=f"{text!r} is no colour.", fix="Write a colour as #8090a0.")
    if field.kind == CHOICE and text not in {key for key, _ in field.choices}:
        raise UsageError(where=where, what=f"{text!r} is not one of the choices.")
    return text


def _field_told(field: Field, words: Words) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": words(field.label),
        "kind": field.kind,
        "value": field.value,
        "choices": [[key, words(label)] for key, label in field.choices],
        "help": words(field.help) if field.help else "",
        "minimum": field.minimum,
        "maximum": field.maximum,
        "step": field.step,
        "is_more": field.is_more,
    }
