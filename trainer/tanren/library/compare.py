"""Two files side by side: settings, tags and ranks that differ."""

from __future__ import annotations

from dataclasses import dataclass

from .edit import Difference, differences_between
from .facts import ELSEWHERE
from .look import Look


@dataclass(frozen=True)
class Comparison:
    """What differs between two files.

    Args:
        same_tensors: True when their tensors have the same names, shapes and places and the stored hashes agree; None
            where only the whole payload would tell.
        kinds: (what, first, second) of the derived facts that differ.
        settings: metadata that differ; tables and pictures are left out.
        tags: (tag, first, second) captions that have it, the largest difference first.
        ranks: (part, block, first, second) where ranks or alphas differ.
    """

    same_tensors: bool | None
    kinds: tuple[tuple[str, str, str], ...]
    settings: tuple[Difference, ...]
    tags: tuple[tuple[str, int, int], ...]
    ranks: tuple[tuple[str, str, str, str], ...]


def compare(first: Look, second: Look) -> Comparison:
    """What differs between two files that were looked at."""
    kinds = (
        ("family", first.family_title, second.family_title),
        ("type", first.kind.type_title, second.kind.type_title),
        ("trainer", first.trainer, second.trainer),
        ("naming", first.kind.naming, second.kind.naming),
        ("layers", str(len(first.kind.layers)), str(len(second.kind.layers))),
    )
    settings = [one for one in differences_between(first.metadata, second.metadata) if one.key not in ELSEWHERE]
    return Comparison(
        _same_tensors(first, second),
        tuple(row for row in kinds if row[1] != row[2]),
        tuple(settings),
        _tags(first, second),
        _ranks(first, second),
    )


def _same_tensors(first: Look, second: Look) -> bool | None:
    if first.header.tensors != second.header.tensors:
        return False
    one, other = (look.metadata.get("sshs_model_hash") for look in (first, second))
    return one == other if one and other else None


def _tags(first: Look, second: Look) -> tuple[tuple[str, int, int], ...]:
    one, other = first.tags.total, second.tags.total
    rows = [(tag, one.get(tag, 0), other.get(tag, 0)) for tag in {**one, **other}]
    differing = [row for row in rows if row[1] != row[2]]
    return tuple(sorted(differing, key=lambda row: (-abs(row[1] - row[2]), row[0])))


def _ranks(first: Look, second: Look) -> tuple[tuple[str, str, str, str], ...]:
    one, other = first.kind.by_block(), second.kind.by_block()
    rows = []
    for key in {**one, **other}:
        words = [blocks[key].text if key in blocks else "–" for blocks in (one, other)]
        if words[0] != words[1]:
            rows.append((*key, words[0], words[1]))
    return tuple(rows)
