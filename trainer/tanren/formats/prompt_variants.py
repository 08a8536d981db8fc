"""Variants (wildcards) in prompts of generated pictures: `{[e$$][count$$][separator$$]v1|v2|…}`.

`{red|blue}` is one of them at random; `{2$$red|blue|white}` two of them, joined with ", "; `{0-1$$smile,|blush,}` none
or one; `{2$$ and $$A|B|C}` two, joined with " and ". With `e$$` every choice is made in turn: a line with several such
groups stands for all their combinations, the left group changing slowest. Groups do not nest, and blanks count.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import UsageError

MOST_PICTURES = 100_000
JOIN = ", "
GROUP = re.compile(
    r"\{(?P<each>[eE]\$\$)?(?:(?P<count>\d+|\d*-\d*)\$\$)?(?:(?P<separator>[^|{}]+?)\$\$)?(?P<variants>[^{}]+)\}"
)


@dataclass(frozen=True)
class Variants:
    """One group.

    Args:
        texts: what can be chosen.
        fewest, most: how many are chosen.
        separator: between several of them.
        is_each: all choices are made in turn, none at random.
    """

    texts: tuple[str, ...]
    fewest: int = 1
    most: int = 1
    separator: str = JOIN
    is_each: bool = False

    @property
    def count(self) -> int:
        """How many choices there are; the order within a choice does not count."""
        return sum(math.comb(len(self.texts), size) for size in range(self.fewest, self.most + 1))

    def choices(self) -> Iterator[str]:
        """All of them: small ones first, texts in the order of the group."""
        for size in range(self.fewest, self.most + 1):
            for chosen in itertools.combinations(self.texts, size):
                yield self._joined(chosen)

    def draw(self, rng: random.Random) -> str:
        """One of them, its texts in the order in which they were drawn."""
        return self._joined(rng.sample(self.texts, rng.randint(self.fewest, self.most)))

    def _joined(self, chosen: Sequence[str]) -> str:
        if self.separator != JOIN:
            return self.separator.join(chosen)
        # People write tags with their comma; two of them are still joined by one.
        inner = [text.rstrip(", ") for text in chosen[:-1]]
        return JOIN.join([*inner, *chosen[-1:]])


def expand(line: str, images: int, rng: random.Random, *, where: str = "prompt") -> list[str]:
    """The prompts that a line stands for.

    Args:
        line: prompt with its options.
        images: how many prompts are drawn from a line that enumerates nothing.
        rng: for the groups that are drawn at random, anew for every prompt.
        where: the line, for the message.

    Raises:
        UsageError: it enumerates more than 100 000 combinations.
    """
    pieces = read_variants(line)
    groups = [piece for piece in pieces if isinstance(piece, Variants) and piece.is_each]
    total = math.prod(group.count for group in groups)
    if total > MOST_PICTURES:
        what = f"The e$$ groups of this line have {total} combinations; {MOST_PICTURES} is the most."
        raise UsageError(where=where, what=what, fix="Draw some of them at random: leave out e$$.")
    if not groups:
        return [_filled(pieces, iter(()), rng) for _ in range(images)]
    return [_filled(pieces, iter(row), rng) for row in itertools.product(*(group.choices() for group in groups))]


def read_variants(line: str) -> list[str | Variants]:
    """The line as stretches of text and groups."""
    pieces: list[str | Variants] = []
    end = 0
    for found in GROUP.finditer(line):
        pieces += [line[end : found.start()], _group(found)]
        end = found.end()
    return [piece for piece in [*pieces, line[end:]] if piece != ""]


def _group(found: re.Match[str]) -> Variants:
    texts = tuple(found["variants"].split("|"))
    fewest, most = _counts(found["count"], len(texts))
    return Variants(texts, fewest, most, found["separator"] or JOIN, found["each"] is not None)


def _counts(text: str | None, available: int) -> tuple[int, int]:
    """The range of a count, its ends in order and within what there is; an end that is left out is the widest."""
    if text is None:
        return 1, 1
    low, dash, high = text.partition("-")
    ends = sorted((int(low or 0), int(high or available) if dash else int(low)))
    return min(ends[0], available), min(ends[1], available)


def _filled(pieces: Sequence[str | Variants], enumerated: Iterator[str], rng: random.Random) -> str:
    parts = []
    for piece in pieces:
        if isinstance(piece, str):
            parts.append(piece)
        else:
            parts.append(next(enumerated) if piece.is_each else piece.draw(rng))
    return "".join(parts)
