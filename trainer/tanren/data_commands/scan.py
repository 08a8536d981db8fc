"""`data scan`: what a folder of pictures holds, for people or as JSON."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

from ..disk import size_text
from ..preparation.caption_files import ENCODINGS, encoding_named
from ..preparation.facts import PictureFacts
from ..preparation.fitting import Crop, cropper
from ..preparation.index import Wanted
from ..preparation.levels import DEEPER, NUMBERED_FOLDER, PARENT, Level
from ..preparation.lookalikes import MOST_DIFFERING
from ..preparation.overview import TINY, Captions, Names, Overview, Questions, Survey
from .common import (
    Progress,
    add_bucket_options,
    add_encoding_option,
    add_suffix_option,
    counted,
    index,
    level_of,
    parser_of,
    plan_of,
    show,
    show_json,
    some,
    suffix_of,
)

TAGS_SHOWN = 20


def main(words: Sequence[str]) -> int:
    """Run the command."""
    chosen = _parser().parse_args(words[1:])
    level = level_of(chosen.folder)
    plan = plan_of(chosen)
    crop = cropper(plan) if plan is not None else None
    questions = Questions(
        suffix=suffix_of(chosen.caption_extension),
        encoding=encoding_named(chosen.encoding),
        trigger=chosen.trigger or "",
        tiny=chosen.tiny,
        crop=crop,
        near=chosen.near,
    )
    survey = Survey(level, index(), questions, Wanted(decode=not chosen.quick))
    progress = Progress("looking")
    for number, row in enumerate(survey.rows(), 1):
        progress(number, level.pictures)
        if chosen.rows:
            print(json.dumps(row_as_json(row, crop((row.width, row.height)) if crop and not row.fault else None)))
    if chosen.rows:
        return 0
    if chosen.json:
        show_json(overview_as_json(survey.overview))
    else:
        show("\n".join(overview_lines(survey.overview, tags=chosen.tags)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("scan", "Say what a folder of pictures holds. Nothing is changed.")
    parser.add_argument("--trigger", metavar="WORDS", help="count captions with these words; else the folder's name")
    parser.add_argument("--quick", action="store_true", help="headers only: nothing about look-alikes, broken insides")
    parser.add_argument(
        "--near", type=int, default=MOST_DIFFERING, metavar="BITS", help="look-alikes differ in at most so many of 128"
    )
    parser.add_argument("--tiny", type=int, default=TINY, metavar="PIXELS", help=f"call a shorter side tiny ({TINY})")
    parser.add_argument("--tags", type=int, default=TAGS_SHOWN, metavar="N", help="show the N most frequent tags (20)")
    add_suffix_option(parser)
    add_encoding_option(parser)
    add_bucket_options(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--rows", action="store_true", help="one JSON line per picture, as they are read")
    return parser


def overview_lines(overview: Overview, *, tags: int) -> Iterator[str]:
    """The overview for people."""
    yield from level_lines(overview.level)
    yield f"  {counted(overview.pictures, 'picture', 'pictures')}, {size_text(overview.file_bytes)}"
    yield from _caption_lines(overview.captions, overview.pictures, tags)
    yield from _oddity_lines(overview)
    if overview.buckets:
        sizes = [f"{width}x{height} ×{count}" for (width, height), count in sorted(overview.buckets.items())]
        yield f"  trained sizes, repeats counted: {some(sizes)}"
    yield from (f"  note: {warning}" for warning in overview.warnings)


def level_lines(level: Level) -> Iterator[str]:
    """How the folder was understood."""
    yield f"{level.folder}"
    if level.kind == PARENT:
        yield "  understood as the parent of folders of pictures; this is what --train_data_dir needs"
    elif level.kind == NUMBERED_FOLDER:
        yield f"  understood as one folder of pictures; --train_data_dir needs its parent, {level.instead}"
    elif level.kind == DEEPER and level.instead is not None:
        yield f"  the folders of pictures lie one level deeper; --train_data_dir needs {level.instead}"
    else:
        yield "  understood as a folder of pictures without repeats; a dataset file can name it, or `data layout` makes"
        yield "  a <repeats>_<name> folder of it"
    for part in level.parts:
        kind = ", regularization" if part.is_regularization else ""
        name = f", words {part.name!r}" if part.name else ""
        yield f"  {part.folder.name}: {counted(part.pictures, 'picture', 'pictures')} × {part.repeats}{name}{kind}"
    if level.other_parts:
        yield f"  beside them, not counted here: {some([part.folder.name for part in level.other_parts])}"
    if level.left_out:
        yield f"  left out, because the name does not begin with a number of repeats: {some(level.left_out)}"


def _caption_lines(captions: Captions, pictures: int, tags: int) -> Iterator[str]:
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in captions.by_suffix.most_common())
    yield f"  captions found: {captions.filled} of {pictures}{f' ({kinds})' if kinds else ''}"
    yield from _named("without a caption", captions.missing)
    yield from _named("with an empty caption, which training refuses", captions.empty)
    yield from _named("with a caption that cannot be read", captions.unreadable)
    kinds = ", ".join(f"{ENCODINGS.get(name, name)} {count}" for name, count in captions.encodings.most_common())
    what = f"not in UTF-8, read as {kinds}; training refuses them (`data edit --to-utf8` converts, --encoding tells)"
    yield from _named(what, captions.guessed)
    yield from _named("with lines that training leaves out", captions.several_lines)
    yield from _named("with two caption files, of which one is used", captions.shared)
    if captions.filled:
        lengths = ", ".join(
            f"{f'up to {window}' if window else 'more'}: {captions.lengths[window]}"
            for window in (75, 150, 225, 0)
            if captions.lengths[window]
        )
        yield f"  tokens a caption: {lengths}; at most {captions.longest}"
    if captions.trigger and captions.filled:
        yield (
            f"  {captions.trigger!r} stands in {captions.with_trigger} of {captions.filled} captions, "
            f"in {captions.trigger_first} at the beginning"
        )
        yield from _named(f"without {captions.trigger!r}", captions.without_trigger)
    if captions.tags and tags:
        yield "  tags: " + ", ".join(f"{tag} {count}" for tag, count in captions.tags.most_common(tags))


def _oddity_lines(overview: Overview) -> Iterator[str]:
    for name, reason in overview.faults.items():
        yield f"  cannot be used: {name}: {reason}"
    yield from _named("tiny", overview.tiny)
    yield from _named("transparent" if overview.decoded else "with room for transparency", overview.transparent)
    yield from _named("stored turned, and turned upright by EXIF", overview.rotated)
    yield from _named("animated, the first frame is used", overview.animated)
    yield from _named("with the suffix of another kind", overview.other_suffix)
    yield from _named("enlarged, because they are smaller than what is trained", overview.enlarged)
    yield from _named("too small for any trained size", overview.unfitting)
    for first, second in overview.clashes:
        yield f"  share one caption file, which training refuses: {first}, {second}"
    for group in overview.duplicates:
        yield f"  the same file: {', '.join(group)}"
    for group in overview.lookalikes:
        yield f"  look alike: {', '.join(group)}"


def _named(what: str, names: Names) -> Iterator[str]:
    if names.count:
        yield f"  {names.count} {what}: {some(names.first, names.count)}"


def overview_as_json(overview: Overview) -> dict[str, Any]:
    """The overview for programs; the method behind look-alikes is in preparation/facts.py."""
    found = {one.name: _plain(getattr(overview, one.name)) for one in fields(overview)}
    found["level"] = _level_as_json(overview.level)
    found["buckets"] = [[*size, count] for size, count in sorted(overview.buckets.items())]
    return found


def _plain(value: Any) -> Any:
    """Counters as objects with the most frequent first; dataclasses as objects."""
    if isinstance(value, Counter):
        return dict(value.most_common())
    if isinstance(value, (Captions, Names)):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return value


def row_as_json(row: PictureFacts, crop: Crop | None) -> dict[str, Any]:
    """One picture for programs; with its bucket and the rectangle that is seen of it."""
    found = {**asdict(row), "path": row.path}
    if crop is not None:
        found["crop"] = {**asdict(crop), "box": crop.box, "is_enlarged": crop.is_enlarged}
    return found


def _level_as_json(level: Level) -> dict[str, Any]:
    parts = [{**asdict(part), "folder": str(part.folder)} for part in level.parts]
    others = [{**asdict(part), "folder": str(part.folder)} for part in level.other_parts]
    return {
        "folder": str(level.folder),
        "kind": level.kind,
        "parts": parts,
        "instead": str(level.instead) if level.instead else None,
        "other_parts": others,
        "left_out": list(level.left_out),
    }
