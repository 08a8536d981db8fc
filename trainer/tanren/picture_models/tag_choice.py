"""From a tagger's scores to a caption: which tags are taken, how they are written, and in which order."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ModelFileError, UsageError
from ..formats.captions import decode_text

GENERAL, CHARACTER, RATING = 0, 4, 9
COLUMNS = ("name", "category")
ORDERS = ("score", "model", "alphabet")
RATINGS = ("none", "first", "last")
MODES = ("fill", "append", "replace")
TWO_LETTERS = re.compile(r"[^\W\d_]{2}")


@dataclass(frozen=True)
class Label:
    """One output of a tagger.

    Args:
        name: as the model's list has it, with underscores.
        category: GENERAL, CHARACTER, RATING, or another number of danbooru's, which counts as general.
    """

    name: str
    category: int


@dataclass(frozen=True)
class ScoredTag:
    """A tag that was taken, as the caption shows it, and the model's certainty (0..1)."""

    text: str
    score: float


@dataclass(frozen=True, kw_only=True)
class TagRules:
    """How a caption is made from scores.

    Args:
        general, character: the least score of a tag that is taken.
        excluded: tags that are never taken, in any spelling that `tag_key` makes equal.
        keeps_underscores: write `long_hair` instead of `long hair`.
        escapes_brackets: write `\\(` for `(`, as prompts need it.
        order: of ORDERS.
        characters_first: characters come before all other tags.
        rating: of RATINGS; where the likeliest rating goes.
        first: tags that open every caption, such as the trigger word.
        separator: between tags.
    """

    general: float = 0.35
    character: float = 0.35
    excluded: frozenset[str] = frozenset()
    keeps_underscores: bool = False
    escapes_brackets: bool = False
    order: str = "score"
    characters_first: bool = False
    rating: str = "none"
    first: tuple[str, ...] = field(default=())
    separator: str = ", "

    def __post_init__(self) -> None:
        for name, value in (("general", self.general), ("character", self.character)):
            if not 0 <= value <= 1:
                raise UsageError(
                    where=f"--{name}-threshold",
                    what=f"{value:g} is no share between 0 and 1.",
                    fix="0.35 is usual; a lower number takes more tags.",
                )
        if not self.separator.strip():
            raise UsageError(
                where="--separator", what="Tags need a character between them.", fix='Leave it out: ", " is usual.'
            )


def read_labels(path: Path) -> tuple[Label, ...]:
    """The list of tags beside a model (`selected_tags.csv`), in the order of the model's outputs.

    Raises:
        ModelFileError: it is not such a list.
    """
    text = decode_text(path.read_bytes(), "utf-8", str(path))
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if not set(COLUMNS) <= set(rows.fieldnames or ()):
        raise ModelFileError(
            where=str(path),
            what="This is no list of tags: the columns name and category are missing.",
            fix="Take selected_tags.csv from where the model comes from.",
        )
    labels = []
    for number, row in enumerate(rows, 2):
        name, category = row["name"], row["category"]
        if not name or not (category or "").isdecimal():
            raise ModelFileError(
                where=str(path), what=f"Line {number} has no tag with a category.", fix="Take it anew."
            )
        labels.append(Label(name, int(category)))
    return tuple(labels)


def choose_tags(labels: Sequence[Label], scores: Iterable[float], rules: TagRules) -> list[ScoredTag]:
    """The tags of one picture, in the order of its caption; without those that open every caption."""
    scored = list(zip(labels, scores, strict=True))
    excluded = {tag_key(tag) for tag in rules.excluded}
    taken = [
        (label, score)
        for label, score in scored
        if label.category != RATING and score >= _threshold(label, rules) and tag_key(label.name) not in excluded
    ]
    if rules.order == "score":
        taken.sort(key=lambda pair: -pair[1])
    elif rules.order == "alphabet":
        taken.sort(key=lambda pair: pair[0].name.casefold())
    if rules.characters_first:
        taken.sort(key=lambda pair: pair[0].category != CHARACTER)
    ratings = [pair for pair in scored if pair[0].category == RATING and tag_key(pair[0].name) not in excluded]
    if rules.rating != "none" and ratings:
        likeliest = max(ratings, key=lambda pair: pair[1])
        taken = [likeliest, *taken] if rules.rating == "first" else [*taken, likeliest]
    return [ScoredTag(written(label.name, rules), score) for label, score in taken]


def merged(existing: str, tags: Sequence[str], mode: str, rules: TagRules) -> str | None:
    """The new caption of a picture, or None when it stays as it is.

    Args:
        existing: the caption so far; blank when there is none.
        tags: what the model found.
        mode: "fill" leaves every caption that is not blank alone, "append" adds tags that are not there yet,
            "replace" forgets the old caption.
        rules: separator, and the tags that come first.
    """
    assert mode in MODES, mode
    if mode == "fill" and existing.strip():
        return None
    mark = rules.separator.strip()
    old = [tag.strip() for tag in existing.split(mark) if tag.strip()] if mode == "append" else []
    text = rules.separator.join(without_repetition([*rules.first, *old, *tags]))
    # Nothing found is no reason to empty a caption.
    return None if not tags or text == existing.strip() else text


def written(name: str, rules: TagRules) -> str:
    """A tag of the list as captions have it. Faces such as `>_<` keep their underscore."""
    text = name if rules.keeps_underscores or is_face(name) else name.replace("_", " ")
    return text.replace("(", r"\(").replace(")", r"\)") if rules.escapes_brackets else text


def is_face(name: str) -> bool:
    """True for drawn faces (`^_^`, `o_o`, `||_||`): no two letters stand side by side in them."""
    return "_" in name and not TWO_LETTERS.search(name)


def tag_key(tag: str) -> str:
    """Equal for spellings of the same tag: underscores or spaces, escaped brackets, capitals."""
    return tag.strip().replace("\\(", "(").replace("\\)", ")").replace("_", " ").casefold()


def without_repetition(tags: Collection[str]) -> list[str]:
    """Each tag once, where it came first."""
    seen: dict[str, str] = {}
    for tag in tags:
        seen.setdefault(tag_key(tag), tag)
    return list(seen.values())


def _threshold(label: Label, rules: TagRules) -> float:
    return rules.character if label.category == CHARACTER else rules.general
