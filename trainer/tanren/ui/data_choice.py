"""Which pictures of a folder a page shows: by what is odd about them, by folder, and by the words of their captions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import UsageError
from ..formats.clip_tokens import WINDOWS
from ..preparation.facts import PictureFacts
from ..preparation.overview import has_trigger
from ..preparation.tag_filter import TagFilter
from ..preparation.tags import split_tags
from .data_folder import DataFolder

LONGEST_WORDS = 500
LIKE_FILTER = re.compile(r"""[(),*"]|\b(and|or|not)\b""", re.IGNORECASE)

Test = Callable[[PictureFacts], bool]


def chosen(found: DataFolder, asked: Mapping[str, Any]) -> list[PictureFacts]:
    """The rows that a filter leaves, in their order.

    Args:
        found: the folder.
        asked: `flag` (a key of `FLAGS`), `part` (folder of the pictures), `words` (`cat -dog`, `name:` for file names)
            `tag` and `without` (lists of whole tags), `paths` (these pictures alone); all optional.

    Raises:
        UsageError: there is no such flag.
    """
    return found.answer(json.dumps(asked, sort_keys=True), lambda: _chosen(found, asked))


def _chosen(found: DataFolder, asked: Mapping[str, Any]) -> list[PictureFacts]:
    tests = list(_tests(found, asked))
    rows = [row for row in list(found.rows) if all(test(row) for test in tests)]
    if asked.get("flag") == "alike":
        # Groups one behind the other, so that pictures that look alike stand together.
        order = {path: place for place, path in enumerate(path for group in found.groups for path in group)}
        rows.sort(key=lambda row: order.get(row.path, 0))
    return rows


def flag_counts(found: DataFolder, flags: Sequence[str]) -> dict[str, int]:
    """How many pictures each of some keys of `FLAGS` is true of."""
    rows, in_groups = list(found.rows), found.in_groups
    return {flag: sum(FLAGS[flag](row, found, in_groups) for row in rows) for flag in flags}


def flags_of(row: PictureFacts, found: DataFolder) -> list[str]:
    """What is odd about a picture, as keys of `FLAGS`."""
    return [name for name, test in FLAGS.items() if test(row, found, found.in_groups)]


def _tests(found: DataFolder, asked: Mapping[str, Any]) -> list[Test]:
    tests: list[Test] = []
    flag = asked.get("flag")
    if flag:
        if flag not in FLAGS:
            raise UsageError(where="filter", what="There is no such filter.")
        in_groups = found.in_groups
        tests.append(lambda row: FLAGS[str(flag)](row, found, in_groups))
    part = asked.get("part")
    if part:
        tests.append(lambda row: row.folder == part)
    paths = asked.get("paths")
    if isinstance(paths, list) and paths:
        named = frozenset(map(str, paths))
        tests.append(lambda row: row.path in named)
    for name, is_there in (("tag", True), ("without", False)):
        wanted = asked.get(name)
        if isinstance(wanted, list) and wanted:
            tests.append(_has_tags({str(tag).casefold() for tag in wanted}, is_there))
    return [*tests, *_word_tests(str(asked.get("words") or "")[:LONGEST_WORDS])]


def _word_tests(words: str) -> list[Test]:
    """A filter over whole tags when it reads like one, else words anywhere in a caption, all of which must be there."""
    if LIKE_FILTER.search(words):
        matches = TagFilter(words).matches
        return [lambda row: matches(split_tags(row.caption.text))]
    return [_has_word(word) for word in words.casefold().split()]


def _has_tags(wanted: set[str], is_there: bool) -> Test:
    def test(row: PictureFacts) -> bool:
        has = {tag.casefold() for tag in split_tags(row.caption.text)}
        return wanted <= has if is_there else not wanted & has

    return test


def _has_word(word: str) -> Test:
    is_there, word = not (word.startswith("-") and len(word) > 1), word.removeprefix("-")
    if word.startswith("name:"):
        return lambda row: (word[5:] in row.name.casefold()) == is_there
    return lambda row: (word in row.caption.text.casefold()) == is_there


def _lacks_trigger(row: PictureFacts, found: DataFolder, _: set[str]) -> bool:
    part = next((part for part in found.level.parts if str(part.folder) == row.folder), None)
    trigger = found.view.trigger or (part.name if part else "")
    return bool(trigger) and row.caption.is_filled and not has_trigger(row.caption.text, trigger)


def _is_enlarged(row: PictureFacts, found: DataFolder, _: set[str]) -> bool:
    return bool(row.width) and not row.fault and found.crop((row.width, row.height)).is_enlarged


FLAGS: dict[str, Callable[[PictureFacts, DataFolder, set[str]], bool]] = {
    "missing": lambda row, found, groups: not row.caption.name,
    "empty": lambda row, found, groups: (
        bool(row.caption.name) and not row.caption.is_filled and not row.caption.problem
    ),
    "no_caption": lambda row, found, groups: not row.caption.is_filled,
    "unusable": lambda row, found, groups: bool(row.fault),
    "tiny": lambda row, found, groups: bool(row.width) and min(row.width, row.height) < found.view.tiny,
    "transparent": lambda row, found, groups: row.is_transparent,
    "rotated": lambda row, found, groups: row.is_rotated,
    "animated": lambda row, found, groups: row.is_animated,
    "alike": lambda row, found, groups: row.path in groups,
    "encoding": lambda row, found, groups: not row.caption.encoding.startswith("utf-8") or bool(row.caption.problem),
    "lines": lambda row, found, groups: row.caption.lines > 1,
    "long": lambda row, found, groups: row.caption.tokens > WINDOWS[0],
    "no_trigger": _lacks_trigger,
    "enlarged": _is_enlarged,
    "suffix": lambda row, found, groups: row.has_other_suffix,
}
