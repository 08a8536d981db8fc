"""Filters, order and duplicates of the library's rows: plain functions of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from .copies import duplicates
from .filing import Filed, is_hidden
from .rows import Row

ANY = ""


@dataclass(frozen=True)
class Filters:
    """What rows must be; an empty value asks for nothing.

    Args:
        text: words that all occur in the name, alias, trigger words, tags or further texts.
        tag: a tag it was trained on, whole.
        family, type, trainer: as in the row.
        rank_from, rank_to: limits of the largest rank; 0 is none.
        date_from, date_to: days such as "2025-01-31", inclusive; the training's, else the file's.
        without_metadata: only files that say nothing.
        broken: only files that cannot be read.
        hidden_by: a host; with `checkpoint_family`, only files whose card it leaves out.
        checkpoint_family: the loaded checkpoint's.
        duplicates: only files whose tensors another file has as well, as far as that is known (`copies.work_left`).
    """

    text: str = ""
    tag: str = ""
    family: str = ANY
    type: str = ANY
    trainer: str = ANY
    rank_from: int = 0
    rank_to: int = 0
    date_from: str = ""
    date_to: str = ""
    without_metadata: bool = False
    broken: bool = False
    hidden_by: str = ""
    checkpoint_family: str = ""
    duplicates: bool = False


# Column -> what rows are ordered by. Names are compared without regard to capitals.
ORDERS: dict[str, Callable[[Row], tuple[object, ...]]] = {
    "name": lambda row: (row.name.casefold(),),
    "alias": lambda row: (row.alias.casefold(),),
    "family": lambda row: (row.family, row.name.casefold()),
    "type": lambda row: (row.type, row.name.casefold()),
    "rank": lambda row: (row.rank, row.name.casefold()),
    "trainer": lambda row: (row.trainer.casefold(), row.name.casefold()),
    "date": lambda row: (day_of(row), row.name.casefold()),
    "size": lambda row: (row.size, row.name.casefold()),
    "modified": lambda row: (row.modified, row.name.casefold()),
    "problem": lambda row: (row.problem == "", row.problem, row.name.casefold()),
}


def filtered(rows: Iterable[Row], filters: Filters) -> list[Row]:
    """The rows that are as asked, in the order given."""
    listed = list(rows)
    twice = {row.path for group in duplicates(listed) for row in group} if filters.duplicates else set()
    words = filters.text.casefold().split()
    return [
        row
        for row in listed
        if _is_as_asked(row, filters)
        and (not filters.duplicates or row.path in twice)
        and (not words or _has_words(row, words))
    ]


def ordered(rows: Iterable[Row], column: str, *, descending: bool = False) -> list[Row]:
    """The rows by one column of `ORDERS`; an unknown column means by name."""
    return sorted(rows, key=ORDERS.get(column, ORDERS["name"]), reverse=descending)


def choices(rows: Sequence[Row], column: str) -> list[str]:
    """The values of "family", "type" or "trainer" that occur, for a filter's list."""
    return sorted({str(getattr(row, column)) for row in rows if getattr(row, column)})


def same_alias(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Aliases that several files share: a host then wants the file's name instead."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.alias, []).append(row)
    return {alias: group for alias, group in groups.items() if len(group) > 1}


def day_of(row: Row) -> str:
    """The training's day, else the file's; "2025-01-31"."""
    return row.date[:10] or datetime.fromtimestamp(max(row.modified, 0), tz=timezone.utc).strftime("%Y-%m-%d")


def _is_as_asked(row: Row, filters: Filters) -> bool:
    day = day_of(row) if filters.date_from or filters.date_to else ""
    return (
        filters.family in (ANY, row.family)
        and filters.type in (ANY, row.type)
        and filters.trainer in (ANY, row.trainer)
        and row.rank >= filters.rank_from
        and (not filters.rank_to or row.rank <= filters.rank_to)
        and (not filters.date_from or day >= filters.date_from)
        and (not filters.date_to or day <= filters.date_to)
        and (not filters.without_metadata or not (row.has_metadata or row.problem))
        and (not filters.broken or bool(row.problem))
        and (not filters.tag or filters.tag.casefold() in (tag.casefold() for tag in row.tags))
        and (not filters.hidden_by or _is_left_out(row, filters))
    )


def _is_left_out(row: Row, filters: Filters) -> bool:
    word = row.filed.get(filters.hidden_by, "Unknown")
    return is_hidden(Filed(filters.hidden_by, word, True), filters.checkpoint_family)


def _has_words(row: Row, words: Sequence[str]) -> bool:
    text = "\n".join((row.path, row.alias, row.words, row.text, *row.tags)).casefold()
    return all(word in text for word in words)
