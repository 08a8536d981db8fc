r"""Variants (wildcards) in prompts of generated pictures: `{[e$$][count$$][separator$$]v1|v2|…}`.

`{red|blue}` is one of them at random; `{2$$red|blue|white}` two of them, joined with ", "; `{0-1$$smile,|blush,}` none
or one; `{2$$ and $$A|B|C}` two, joined with " and ". With `e$$` every choice is made in turn: a line with several such
groups stands for all their combinations, the left group changing slowest. Blanks count, `\{` and `\}` are braces.

A variant may hold groups itself: `{a {red|blue} cat|a dog}`. They are looked at only where their variant is chosen. In
a group that is drawn at random everything is drawn at random.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import UsageError

MOST_PICTURES = 100_000
JOIN = ", "
DEEPEST = 50
# What may stand in front of the variants; something has to follow.
FRONT = re.compile(
    r"(?P<each>[eE]\$\$)?(?:(?P<count>\d+|\d*-\d*)\$\$)?(?:(?P<separator>[^|{}]+?)\$\$)?(?=.)", re.DOTALL
)
SIGN = re.compile(r"\\[{}]|[{}|]")
ESCAPED = re.compile(r"\\([{}])")


@dataclass(frozen=True)
class Chosen:
    """Variants that were chosen in turn, not yet text: groups inside of them may still be drawn.

    Args:
        texts: those that were chosen.
        separator: between several of them.
    """

    texts: tuple[Text, ...]
    separator: str


@dataclass(frozen=True)
class Variants:
    """One group.

    Args:
        texts: what can be chosen.
        fewest, most: how many are chosen.
        separator: between several of them.
        is_each: all choices are made in turn, none at random.
    """

    texts: tuple[Text, ...]
    fewest: int = 1
    most: int = 1
    separator: str = JOIN
    is_each: bool = False

    @property
    def count(self) -> int:
        """How many choices are made in turn; the order within a choice does not count."""
        if not self.is_each:
            return 1
        # Ways to choose 0, 1, 2 … of the texts, of which each may stand for several.
        ways = [1]
        for text in self.texts:
            own = math.prod(piece.count for piece in text if isinstance(piece, Variants))
            ways = [first + own * second for first, second in zip([*ways, 0], [0, *ways], strict=True)]
        return sum(ways[self.fewest : self.most + 1])

    def choices(self) -> Iterator[Chosen]:
        """All of them: small ones first, texts in the order of the group."""
        for size in range(self.fewest, self.most + 1):
            for chosen in itertools.combinations(self.texts, size):
                for texts in itertools.product(*map(_in_turn, chosen)):
                    yield Chosen(texts, self.separator)

    def draw(self, rng: random.Random) -> Chosen:
        """One of them, its texts in the order in which they were drawn."""
        return Chosen(tuple(rng.sample(self.texts, rng.randint(self.fewest, self.most))), self.separator)


Text = tuple[str | Variants | Chosen, ...]


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
    text = read_variants(line)
    groups = [piece for piece in text if isinstance(piece, Variants)]
    total = math.prod(group.count for group in groups)
    if total > MOST_PICTURES:
        what = f"The e$$ groups of this line have {total} combinations; {MOST_PICTURES} is the most."
        raise UsageError(where=where, what=what, fix="Draw some of them at random: leave out e$$.")
    texts = _in_turn(text) if any(group.is_each for group in groups) else [text] * images
    return [ESCAPED.sub(r"\1", _drawn(one, rng)) for one in texts]


def read_variants(line: str) -> Text:
    """The line as stretches of text and groups; braces without their counterpart, or 50 deep, are text."""
    opened: list[int] = []
    closes: dict[int, int] = {}
    for sign in SIGN.finditer(line):
        if sign[0] == "{":
            opened.append(sign.start())
        elif sign[0] == "}" and opened:
            place = opened.pop()
            if len(opened) < DEEPEST:
                closes[place] = sign.start()
    return _read(line, 0, len(line), closes)


def _read(line: str, start: int, end: int, closes: dict[int, int]) -> Text:
    pieces: list[str | Variants | Chosen] = []
    done = start
    for place in _groups(start, end, closes):
        group = _group(line, place + 1, closes[place], closes)
        if group is not None:
            pieces += [line[done:place], group]
            done = closes[place] + 1
    return tuple(piece for piece in [*pieces, line[done:end]] if piece != "")


def _groups(start: int, end: int, closes: dict[int, int]) -> Iterator[int]:
    """Where groups begin between two places; not those inside of others."""
    behind = start
    for place in sorted(closes):
        if behind <= place and closes[place] < end:
            yield place
            behind = closes[place] + 1


def _group(line: str, start: int, end: int, closes: dict[int, int]) -> Variants | None:
    """What stands between two braces; None for nothing at all."""
    front = FRONT.match(line, start, end)
    if front is None:
        return None
    inner = list(_groups(start, end, closes))
    bars = [sign.start() for sign in SIGN.finditer(line, front.end(), end) if sign[0] == "|"]
    bars = [bar for bar in bars if not any(place < bar < closes[place] for place in inner)]
    edges = zip([front.end(), *(bar + 1 for bar in bars)], [*bars, end], strict=True)
    texts = tuple(_read(line, first, last, closes) for first, last in edges)
    fewest, most = _counts(front["count"], len(texts))
    return Variants(texts, fewest, most, front["separator"] or JOIN, front["each"] is not None)


def _counts(text: str | None, available: int) -> tuple[int, int]:
    """The range of a count, its ends in order and within what there is; an end that is left out is the widest."""
    if text is None:
        return 1, 1
    low, dash, high = text.partition("-")
    ends = sorted((int(low or 0), int(high or available) if dash else int(low)))
    return min(ends[0], available), min(ends[1], available)


def _in_turn(text: Text) -> list[Text]:
    """Every combination of what a text enumerates, the left group changing slowest."""
    rows = [piece.choices() if isinstance(piece, Variants) and piece.is_each else iter((piece,)) for piece in text]
    return list(itertools.product(*rows))


def _drawn(text: Text, rng: random.Random) -> str:
    """With every group that is left drawn at random."""
    parts = []
    for piece in text:
        chosen = piece.draw(rng) if isinstance(piece, Variants) else piece
        parts.append(chosen if isinstance(chosen, str) else _joined(chosen, rng))
    return "".join(parts)


def _joined(chosen: Chosen, rng: random.Random) -> str:
    texts = [_drawn(text, rng) for text in chosen.texts]
    if chosen.separator != JOIN:
        return chosen.separator.join(texts)
    # People write tags with their comma; two of them are still joined by one.
    return JOIN.join([*(text.rstrip(", ") for text in texts[:-1]), *texts[-1:]])
