"""What the sub-commands share: the folder, the journal, lists of names, JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, SeveralProblems, UsageError, UserError
from ..library.plain_text import plain
from ..options.dataset_plan import DatasetPlan
from ..options.values import size_wh
from ..paths import data_folder, resolve_user_path
from ..preparation.caption_files import AUTO, ENCODINGS
from ..preparation.index import PictureIndex
from ..preparation.journal import Journal
from ..preparation.levels import NOTHING, Level, understand
from ..preparation.overview import cache_folder

NAMES_SHOWN = 8


def parser_of(name: str, description: str) -> argparse.ArgumentParser:
    """A parser for one sub-command, with the folder as its first word."""
    parser = argparse.ArgumentParser(prog=f"data {name}", description=description)
    parser.add_argument("folder", metavar="FOLDER", help="of pictures, or parent of <repeats>_<name> folders")
    return parser


def level_of(text: str) -> Level:
    """The pictures that a folder means.

    Raises:
        UsageError: it is not there.
        DataError: there are no pictures in it.
    """
    level = understand(resolve_user_path(text, "folder", where="FOLDER"))
    if level.kind == NOTHING:
        raise DataError(
            where=text,
            what="There are no pictures in this folder.",
            fix="Give the folder with the pictures, or the parent of folders named like 10_name.",
        )
    return level


def journal() -> Journal:
    """The journal of the data folder in use."""
    return Journal(data_folder())


def index() -> PictureIndex:
    """The index of the data folder in use."""
    return PictureIndex(cache_folder(data_folder()))


def show(text: str) -> None:
    """Print a line that may hold texts of strangers."""
    print(plain(text))


def show_json(content: object) -> None:
    """Print an answer for programs, in ASCII."""
    print(json.dumps(content, ensure_ascii=True, indent=1))


def some(names: Sequence[str], count: int | None = None) -> str:
    """The first names, and how many more there are."""
    total = len(names) if count is None else count
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown} and {total - NAMES_SHOWN} more" if total > NAMES_SHOWN else shown


def counted(count: int, one: str, many: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{count} {one if count == 1 else many}"


def add_suffix_option(parser: argparse.ArgumentParser) -> None:
    """The option that names the suffix of captions."""
    parser.add_argument(
        "--caption_extension", metavar="SUFFIX", help=".txt or .caption; not given: what the folder uses most"
    )


def add_encoding_option(parser: argparse.ArgumentParser) -> None:
    """The option that says what captions are in that are not UTF-8."""
    names = ", ".join(f"{name} ({label})" for name, label in ENCODINGS.items())
    parser.add_argument(
        "--encoding",
        default=AUTO,
        metavar="NAME",
        help=f"of captions that are not in UTF-8: {names}, or any other that Python knows",
    )


def suffix_of(text: str | None) -> str | None:
    """A suffix with its dot."""
    return None if not text else text if text.startswith(".") else f".{text}"


def add_bucket_options(parser: argparse.ArgumentParser) -> None:
    """The trainer's own options that decide about sizes."""
    group = parser.add_argument_group("sizes as in training")
    group.add_argument("--resolution", metavar="WIDTH,HEIGHT", help="training size in pixels; one number for a square")
    group.add_argument("--enable_bucket", action="store_true", help="train every picture near its own shape")
    group.add_argument("--min_bucket_reso", type=int, default=256, metavar="N", help="shortest side of a bucket (256)")
    group.add_argument("--max_bucket_reso", type=int, default=1024, metavar="N", help="longest side of a bucket (1024)")
    group.add_argument("--bucket_reso_steps", type=int, default=64, metavar="N", help="multiples of this (64)")
    group.add_argument("--bucket_no_upscale", action="store_true", help="never enlarge a picture")


def plan_of(chosen: argparse.Namespace) -> DatasetPlan | None:
    """The sizes that were asked for; None when no resolution was given."""
    if not chosen.resolution:
        return None
    return DatasetPlan(
        subsets=(),
        resolution_wh=size_from(chosen.resolution, "--resolution"),
        enable_bucket=chosen.enable_bucket,
        min_bucket_reso=chosen.min_bucket_reso,
        max_bucket_reso=chosen.max_bucket_reso,
        bucket_reso_steps=chosen.bucket_reso_steps,
        bucket_no_upscale=chosen.bucket_no_upscale,
    )


def size_from(text: str, where: str) -> tuple[int, int]:
    """`512` or `768,512` as (width, height).

    Raises:
        UsageError: it is neither.
    """
    try:
        return size_wh(text)
    except ValueError as error:
        raise UsageError(where=where, what=str(error)) from error


def raise_all(problems: Sequence[UserError]) -> None:
    """Raise the only problem, or all of them as one."""
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise SeveralProblems(problems)


class Progress:
    """A line on the terminal that counts; nothing where standard error is a file."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shows = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """So many are done."""
        if self._shows:
            end = "\n" if done == total else ""
            print(f"\r{self._what}: {done} of {total}", end=end, file=sys.stderr, flush=True)


def new_folder(text: str, where: str) -> Path:
    """A folder that may not be there yet."""
    return resolve_user_path(text, "new folder", where=where)
