"""`data edit`: change the captions of a folder; operations are done in the order in which they are written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UsageError
from ..preparation import tags
from ..preparation.caption_edit import Operation, captions_of, matching, per_line, plan_edit
from ..preparation.caption_files import encoding_named
from ..preparation.patterns import check_pattern
from ..preparation.tag_filter import TagFilter
from .common import add_encoding_option, add_suffix_option, level_of, parser_of, suffix_of
from .showing import add_plan_options, finish

Maker = Callable[[Any], Operation]


def main(words: Sequence[str]) -> int:
    """Run the command."""
    chosen = _parser().parse_args(words[1:])
    operations: list[Operation] = [make(value) for make, value in chosen.operations or []]
    if not operations and not chosen.to_utf8:
        raise UsageError(where="data edit", what="Nothing to change.", fix="Add for example --add TAGS or --dedupe.")
    level = level_of(chosen.folder)
    only = TagFilter(chosen.only) if chosen.only else None
    captions = captions_of(level, suffix_of(chosen.caption_extension), encoding=encoding_named(chosen.encoding))
    plan = plan_edit(
        level, captions, "edit captions", operations, only=only, creates=chosen.create, to_utf8=chosen.to_utf8
    )
    return finish(plan, chosen)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("edit", "Change captions. Tags are what stands between commas. `data undo` takes it back.")
    operations = parser.add_argument_group("operations, done in the order given")
    for flag, metavar, text, make in OPERATIONS:
        nargs = 0 if metavar is None else len(metavar) if isinstance(metavar, tuple) else None
        operations.add_argument(flag, action=_Append, const=make, metavar=metavar, help=text, nargs=nargs)
    parser.add_argument("--only", metavar="FILTER", help='captions with these tags: "hat and not (smile or *hair)"')
    parser.add_argument("--create", action="store_true", help="also make captions for pictures that have none")
    parser.add_argument("--to-utf8", action="store_true", help="convert files of other encodings to UTF-8")
    add_suffix_option(parser)
    add_encoding_option(parser)
    add_plan_options(parser)
    return parser


class _Append(argparse.Action):
    """Collects operations in their order, whatever their flag."""

    def __init__(self, option_strings: Sequence[str], dest: str, const: Maker, **keys: Any) -> None:
        super().__init__(option_strings, "operations", const=const, default=None, **keys)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """One more."""
        namespace.operations = [*(namespace.operations or []), (self.const, values)]


def _tags(text: str) -> list[str]:
    found = tags.split_tags(text)
    if not found:
        raise UsageError(where=repr(text), what="There is no tag in it.")
    return found


def _keep_count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageError(where=f"--sort {text}", what="How many tags stay in front is a whole number.", fix="--sort 0")
    return int(text)


def _pattern(values: Sequence[str]) -> Operation:
    check_pattern(*values)
    return matching(*values)


OPERATIONS: tuple[tuple[str, Any, str, Maker], ...] = (
    ("--add", "TAGS", "add tags that are missing at the end", lambda text: per_line(tags.adding(_tags(text)))),
    ("--add-front", "TAGS", "the same in front", lambda text: per_line(tags.adding(_tags(text), tags.FRONT))),
    ("--remove", "TAGS", "take tags out", lambda text: per_line(tags.removing(_tags(text)))),
    ("--replace", ("TAG", "NEW"), "put tags in the place of one", lambda pair: per_line(tags.replacing(*pair))),
    ("--trigger", "WORDS", "begin with these, moved when there", lambda text: per_line(tags.trigger_first(text))),
    ("--order", "TAGS", "put these in front, where there", lambda text: per_line(tags.ordering(_tags(text)))),
    ("--sort", "KEEP", "sort by letters; the first KEEP stay", lambda text: per_line(tags.sorting(_keep_count(text)))),
    ("--dedupe", None, "take out tags that stood before", lambda _: per_line(tags.deduplicating)),
    ("--tidy", None, "one comma and one space between tags", lambda _: per_line(tags.tidied)),
    ("--find", ("TEXT", "NEW"), "replace a text, also inside of tags", lambda pair: per_line(tags.finding(*pair))),
    ("--regex", ("PATTERN", "NEW"), r"the same with a regular expression, \1 is a group", _pattern),
    ("--spaces", None, "underscores to spaces, but ^_^ stays", lambda _: per_line(tags.underscores_to_spaces)),
    ("--underscores", None, "spaces to underscores", lambda _: per_line(tags.spaces_to_underscores)),
    ("--escape", None, r"brackets to \( \), as in prompts", lambda _: per_line(tags.escape_brackets)),
    ("--unescape", None, r"\( \) to brackets, as for training", lambda _: per_line(tags.unescape_brackets)),
)
