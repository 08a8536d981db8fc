"""The tools for captions: each is a few questions and an operation on texts (preparation/tags.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..preparation import tags
from ..preparation.caption_edit import (
    CaptionPlan,
    Operation,
    PictureCaption,
    captions_of,
    carry_out,
    matching,
    per_line,
    plan_edit,
)
from ..preparation.journal import Journal
from .data_tool import CHOICE, FLAG, NUMBER, Field, Group, Request, Shown, Tool
from .data_work import Work
from .words import Text, counted

Values = Mapping[str, Any]
CREATES = Field("creates", "Also make captions for pictures without one", FLAG, False)


@dataclass(frozen=True)
class PreparedCaptions:
    """Changes of captions that can be shown and made."""

    plan: CaptionPlan
    said: Sequence[Text] = ()

    @property
    def count(self) -> int:
        """Caption files that would change."""
        return len(self.plan.changes)

    def shown(self, most: int) -> list[Shown]:
        """The first of them."""
        return [
            Shown(change.caption.target.name, None if change.is_new else change.caption.text, change.after)
            for change in self.plan.changes[:most]
        ]

    def notes(self) -> list[Text]:
        """Captions that stay, and those that would say nothing."""
        emptied, unreadable = len(self.plan.emptied), len(self.plan.unreadable)
        found = list(self.said)
        if emptied:
            found.append(counted(emptied, "{count} caption would be empty.", "{count} captions would be empty."))
        if unreadable:
            found.append(
                counted(
                    unreadable,
                    "{count} caption file cannot be read and is left alone.",
                    "{count} caption files cannot be read and are left alone.",
                )
            )
        return found

    def carry_out(self, journal: Journal, work: Work) -> Text:
        """Write them; they are undone together."""
        written = carry_out(self.plan, journal)
        return counted(written, "{count} caption was written.", "{count} captions were written.")


def groups() -> tuple[Group, ...]:
    """All of them, as the page shows them."""
    return (
        Group("Change tags", TAGS),
        Group("Change texts", TEXTS),
        Group("Ways of writing", CONVENTIONS),
    )


def shown_captions(request: Request) -> Iterator[PictureCaption]:
    """The captions of the pictures that the page shows."""
    wanted = frozenset(request.pictures)
    return (
        caption
        for caption in captions_of(request.level, request.suffix, encoding=request.encoding)
        if caption.picture in wanted
    )


def _edit(
    name: str,
    title: str,
    about: str,
    operations: Callable[[Values], list[Operation]],
    *fields: Field,
    creates: bool = False,
    to_utf8: bool = False,
) -> Tool:
    """A tool that makes one text of another."""

    def prepare(request: Request) -> PreparedCaptions:
        makes_new = creates or bool(request.values.get("creates"))
        done = operations(request.values)
        plan = plan_edit(request.level, shown_captions(request), title, done, creates=makes_new, to_utf8=to_utf8)
        return PreparedCaptions(plan)

    return Tool(name, title, about, fields, prepare)


def _lines(*made: Callable[[str], str]) -> list[Operation]:
    return [per_line(one) for one in made]


def _found(values: Values) -> list[Operation]:
    old, new, ignore_case = values["old"], values["new"], values["ignore_case"]
    if values["is_pattern"]:
        return [matching(old, new, ignore_case=ignore_case)]
    return _lines(tags.finding(old, new, ignore_case=ignore_case))


WANTED = Field("tags", "Tags, with commas between them", is_required=True)
TAGS = (
    _edit(
        "add",
        "Add tags",
        "Adds tags to each caption that does not have them yet.",
        lambda values: _lines(tags.adding(tags.split_tags(values["tags"]), values["place"])),
        WANTED,
        Field("place", "Where they go", CHOICE, tags.END, ((tags.END, "at the end"), (tags.FRONT, "at the beginning"))),
        CREATES,
    ),
    _edit(
        "remove",
        "Remove tags",
        "Takes tags out of each caption that has them.",
        lambda values: _lines(tags.removing(tags.split_tags(values["tags"]))),
        WANTED,
    ),
    _edit(
        "replace",
        "Replace a tag",
        "Puts other tags in the place of one.",
        lambda values: _lines(tags.replacing(values["old"], values["new"])),
        Field("old", "Tag to replace", is_required=True),
        Field("new", "Instead of it", help="Several with commas between them; empty takes it out."),
    ),
    _edit(
        "trigger",
        "Trigger word first",
        "Begins each caption with the trigger word; it is moved when it stands elsewhere.",
        lambda values: _lines(tags.trigger_first(values["trigger"])),
        Field("trigger", "Trigger word", is_required=True),
        Field("creates", "Also make captions for pictures without one", FLAG, True),
    ),
    _edit(
        "order",
        "Order tags",
        "Puts these tags in front, in this order, where a caption has them.",
        lambda values: _lines(tags.ordering(tags.split_tags(values["tags"]))),
        WANTED,
    ),
    _edit(
        "sort",
        "Sort tags",
        "Sorts the tags of each caption by their letters.",
        lambda values: _lines(tags.sorting(int(values["keep"]))),
        Field("keep", "Tags that stay in front", NUMBER, 1, minimum=0, maximum=100, step=1),
    ),
    _edit(
        "deduplicate",
        "Remove repeated tags",
        "Takes out tags that stood in the same caption before.",
        lambda values: _lines(tags.deduplicating),
    ),
)
TEXTS = (
    _edit(
        "find",
        "Find and replace",
        "Replaces a text wherever it stands in a caption.",
        _found,
        Field("old", "Text to find", is_required=True),
        Field("new", "Replace by", help=r"With a regular expression, \1 is the first group."),
        Field("is_pattern", "Regular expression", FLAG, False),
        Field("ignore_case", "Capitals do not matter", FLAG, False),
    ),
    _edit(
        "utf8",
        "Convert to UTF-8",
        "Writes captions in other encodings anew, so that training can read them.",
        lambda values: [],
        to_utf8=True,
    ),
)
CONVENTIONS = (
    _edit(
        "spaces",
        "Underscores to spaces",
        "long_hair becomes long hair; faces such as ^_^ stay.",
        lambda values: _lines(tags.underscores_to_spaces),
    ),
    _edit(
        "underscores",
        "Spaces to underscores",
        "long hair becomes long_hair, as image boards write it.",
        lambda values: _lines(tags.spaces_to_underscores),
    ),
    _edit(
        "unescape",
        "Brackets without backslashes",
        r"name \(series\) becomes name (series), as training reads it.",
        lambda values: _lines(tags.unescape_brackets),
    ),
    _edit(
        "escape",
        "Brackets with backslashes",
        r"name (series) becomes name \(series\), as prompts need it.",
        lambda values: _lines(tags.escape_brackets),
    ),
    _edit(
        "tidy",
        "Tidy commas and blanks",
        "One comma and one space between tags, no empty ones.",
        lambda values: _lines(tags.tidied),
    ),
)
