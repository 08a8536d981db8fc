"""`data caption`: texts for pictures from their own files, from folder names or a JSON file; and captions into one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, UsageError
from ..formats.caption_metadata import read_caption_metadata
from ..paths import resolve_user_path
from ..preparation.caption_edit import PictureCaption, captions_of, plan_texts
from ..preparation.caption_files import encoding_named
from ..preparation.caption_tables import CAPTION, TAGS, caption_table, texts_of_table, write_caption_table
from ..preparation.levels import Level
from ..preparation.picture_text import prompt_of
from ..preparation.tags import FILL, MODES
from .common import add_encoding_option, add_suffix_option, counted, journal, level_of, parser_of, show, some, suffix_of
from .showing import add_plan_options, finish

PICTURES, FOLDERS = "pictures", "folders"


def main(words: Sequence[str]) -> int:
    """Run the command."""
    chosen = _parser().parse_args(words[1:])
    level = level_of(chosen.folder)
    captions = list(captions_of(level, suffix_of(chosen.caption_extension), encoding=encoding_named(chosen.encoding)))
    if chosen.to_json:
        return _write_json(level, captions, chosen)
    texts = _texts(level, captions, chosen)
    title = f"captions from {chosen.source}"
    return finish(plan_texts(level, captions, title, texts, chosen.mode), chosen)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "caption", "Give pictures captions that exist elsewhere, or write all captions into a JSON file."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--from",
        dest="source",
        metavar="SOURCE",
        help="`pictures`: the prompt in the files (A1111, ComfyUI, NovelAI); `folders`: the words of "
        "<repeats>_<words>; or a metadata file of kohya's (.json, .jsonl)",
    )
    source.add_argument("--to-json", metavar="FILE", help="write the captions into a new metadata file (--in_json)")
    parser.add_argument(
        "--mode",
        choices=MODES,
        default=FILL,
        help="fill (only where there is none, the default), append or prepend tags, replace",
    )
    parser.add_argument("--keep-emphasis", action="store_true", help="leave (word:1.2) and <lora:…> in prompts")
    parser.add_argument("--as-tags", action="store_true", help="file them as `tags` in the JSON file, not as `caption`")
    parser.add_argument("--sizes", action="store_true", help="with the sizes of the pictures in the JSON file")
    add_suffix_option(parser)
    add_encoding_option(parser)
    add_plan_options(parser)
    return parser


def _texts(level: Level, captions: Sequence[PictureCaption], chosen: argparse.Namespace) -> dict[Path, str]:
    if chosen.source == FOLDERS:
        return {caption.picture: caption.part.name for caption in captions}
    if chosen.source == PICTURES:
        return _prompts(captions, plain=not chosen.keep_emphasis)
    if not chosen.source.lower().endswith((".json", ".jsonl")):
        raise UsageError(
            where=f"--from {chosen.source}",
            what="This is not a source of captions.",
            fix="Write `pictures`, `folders`, or the name of a .json or .jsonl file.",
        )
    path = resolve_user_path(chosen.source, "file", where="--from")
    table = read_caption_metadata(path)
    texts, unknown = texts_of_table(table, [caption.picture for caption in captions], level.folder)
    if unknown:
        entries = counted(len(unknown), "entry is about no picture here", "entries are about no picture here")
        show(f"{entries}: {some(unknown)}")
    return texts


def _prompts(captions: Sequence[PictureCaption], *, plain: bool) -> dict[Path, str]:
    texts = {}
    for caption in captions:
        try:
            texts[caption.picture] = prompt_of(str(caption.picture), plain=plain)
        except (DataError, OSError) as error:
            show(f"{caption.picture.name}: {error}")
    return texts


def _write_json(level: Level, captions: Sequence[PictureCaption], chosen: argparse.Namespace) -> int:
    path = resolve_user_path(chosen.to_json, "new file", where="--to-json")
    table = caption_table(captions, level.folder, key=TAGS if chosen.as_tags else CAPTION, sizes=chosen.sizes)
    if not chosen.dry_run:
        write_caption_table(table, path, journal())
    show(f"{counted(len(table), 'picture', 'pictures')} {'would go' if chosen.dry_run else 'written'} into {path}")
    return 0
