"""Captions as tags, and what can be done to them: functions from one line to another.

A tag is what stands between two commas, without blanks at its ends; tags are written with a comma and a space between
them. Two tags are the same when only capitals, or underscores and spaces, differ. A line that an operation has nothing
to do with keeps its own spelling, blanks and all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

SEPARATOR = ","
JOINED = ", "
END, FRONT = "end", "front"
FILL, APPEND, PREPEND, REPLACE = "fill", "append", "prepend", "replace"
MODES = (FILL, APPEND, PREPEND, REPLACE)
# At most one letter or digit on either side: these faces keep their underscore.
FACE = re.compile(r"\W*\w?\W*_\W*\w?\W*")
LONGEST_FACE = 9
BARE_BRACKET = re.compile(r"(?<!\\)([()\[\]])")
ESCAPED_BRACKET = re.compile(r"\\([()\[\]])")

LineOperation = Callable[[str], str]


def split_tags(text: str) -> list[str]:
    """The tags of a line, empty ones left out."""
    return [tag for part in text.split(SEPARATOR) if (tag := part.strip())]


def join_tags(tags: Iterable[str]) -> str:
    """The line of these tags."""
    return JOINED.join(tags)


def tag_key(tag: str) -> str:
    """Equal for tags that are the same."""
    return tag.strip().replace("_", " ").casefold()


def on_every_line(text: str, operation: LineOperation) -> str:
    """Apply an operation to each line that is not blank; an empty text counts as one line."""
    if not text.strip():
        return operation("") or text
    return "\n".join(operation(line) if line.strip() else line for line in text.split("\n"))


def adding(tags: Sequence[str], place: str = END) -> LineOperation:
    """Add tags that are not there yet, at the END or the FRONT."""

    def add(line: str) -> str:
        there = split_tags(line)
        known = {tag_key(tag) for tag in there}
        fresh = [tag for tag in deduplicated(tags) if tag_key(tag) not in known]
        if not fresh:
            return line
        return join_tags([*fresh, *there] if place == FRONT else [*there, *fresh])

    return add


def removing(tags: Iterable[str]) -> LineOperation:
    """Take tags out."""
    unwanted = {tag_key(tag) for tag in tags}
    return lambda line: _changed(line, [tag for tag in split_tags(line) if tag_key(tag) not in unwanted])


def replacing(old: str, new: str) -> LineOperation:
    """Put other tags in the place of one; a tag that is there already is not repeated."""
    fresh = split_tags(new)

    def replace(line: str) -> str:
        tags = split_tags(line)
        if all(tag_key(tag) != tag_key(old) for tag in tags):
            return line
        others = {tag_key(tag) for tag in tags if tag_key(tag) != tag_key(old)}
        wanted = [tag for tag in fresh if tag_key(tag) not in others]
        result: list[str] = []
        for tag in tags:
            if tag_key(tag) != tag_key(old):
                result.append(tag)
            else:
                result += wanted
                wanted = []
        return join_tags(result)

    return replace


def sorting(keep: int = 0) -> LineOperation:
    """Sort tags by their letters; the first `keep` stay in front."""

    def sort(line: str) -> str:
        tags = split_tags(line)
        return _changed(line, [*tags[:keep], *sorted(tags[keep:], key=lambda tag: (tag.casefold(), tag))])

    return sort


def deduplicating(line: str) -> str:
    """Take out tags that stood before."""
    return _changed(line, deduplicated(split_tags(line)))


def ordering(first: Sequence[str]) -> LineOperation:
    """Put these tags in front, in this order, where a line has them."""
    ranks = {tag_key(tag): rank for rank, tag in enumerate(first)}

    def order(line: str) -> str:
        tags = split_tags(line)
        return _changed(line, sorted(tags, key=lambda tag: ranks.get(tag_key(tag), len(ranks))))

    return order


def trigger_first(trigger: str) -> LineOperation:
    """Begin with the trigger words; they are moved when they stand elsewhere, spelt as given."""
    words = split_tags(trigger)
    keys = {tag_key(word) for word in words}

    def move(line: str) -> str:
        return _changed(line, [*words, *(tag for tag in split_tags(line) if tag_key(tag) not in keys)])

    return move


def finding(old: str, new: str, *, ignore_case: bool = False) -> LineOperation:
    """Replace a text wherever it stands, also inside of tags."""
    if ignore_case:
        pattern = re.compile(re.escape(old), re.IGNORECASE)
        return lambda line: pattern.sub(lambda _: new, line)
    return lambda line: line.replace(old, new)


def underscores_to_spaces(line: str) -> str:
    """`long_hair` to `long hair`; faces such as `^_^` keep their underscore."""
    tags = split_tags(line)
    return _changed(line, [tag if _is_face(tag) else tag.replace("_", " ").strip() or tag for tag in tags])


def spaces_to_underscores(line: str) -> str:
    """`long hair` to `long_hair`, as image boards write tags."""
    return _changed(line, [re.sub(r"\s+", "_", tag) for tag in split_tags(line)])


def escape_brackets(line: str) -> str:
    r"""`name (series)` to `name \(series\)`, as prompts need it; training captions do not."""
    return BARE_BRACKET.sub(r"\\\1", line)


def unescape_brackets(line: str) -> str:
    r"""`name \(series\)` to `name (series)`."""
    return ESCAPED_BRACKET.sub(r"\1", line)


def tidied(line: str) -> str:
    """Tags with one comma and one space between them, none empty, no blanks doubled."""
    return join_tags(" ".join(tag.split()) for tag in split_tags(line))


def combined(old: str, new: str, mode: str) -> str:
    """A caption and a new text for it, such as what a tagger found.

    Args:
        old: as it is; FILL never touches one that says anything.
        new: what comes.
        mode: FILL, APPEND, PREPEND (tags that are not there yet) or REPLACE.
    """
    if not new.strip():
        return old
    if mode == REPLACE or not old.strip():
        return new
    if mode == FILL:
        return old
    return on_every_line(old, adding(split_tags(new.replace("\n", " ")), FRONT if mode == PREPEND else END))


def deduplicated(tags: Iterable[str]) -> list[str]:
    """The tags without repetitions, in their order."""
    seen: dict[str, str] = {}
    for tag in tags:
        seen.setdefault(tag_key(tag), tag)
    return list(seen.values())


def _is_face(tag: str) -> bool:
    return len(tag) <= LONGEST_FACE and FACE.fullmatch(tag) is not None


def _changed(line: str, tags: Sequence[str]) -> str:
    """The line of the tags; the line itself when they are the ones it has."""
    return line if list(tags) == split_tags(line) else join_tags(tags)
