"""Captions of a whole folder in one JSON file, as kohya's `--in_json` reads it; out of the folder and back into it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..data.listing import picture_suffixes
from ..errors import DataError
from ..formats.caption_metadata import PictureText
from ..formats.picture_header import read_header
from .caption_edit import PictureCaption
from .journal import Journal

CAPTION, TAGS = "caption", "tags"


def caption_table(
    captions: Iterable[PictureCaption], base: Path, *, key: str, sizes: bool
) -> dict[str, dict[str, object]]:
    """The captions by picture, relative to `base` with `/` where they lie below it.

    Args:
        captions: as `captions_of` gives them; those that cannot be read are left out.
        base: what will be given as `--train_data_dir`.
        key: CAPTION or TAGS, under which the text is filed.
        sizes: also write `image_size` as [width, height].
    """
    table: dict[str, dict[str, object]] = {}
    for caption in captions:
        if caption.problem:
            continue
        entry: dict[str, object] = {key: caption.text.strip()} if caption.text.strip() else {}
        if sizes:
            entry |= _size_of(caption.picture)
        table[_named(caption.picture, base)] = entry
    return table


def write_caption_table(table: dict[str, dict[str, object]], path: Path, journal: Journal) -> None:
    """Write a table into a new file.

    Raises:
        DataError: there is a file of this name.
    """
    with journal.operation(f"captions to {path.name}", path.parent) as recorder:
        recorder.write_new(path, table_bytes(table))


def table_bytes(table: Mapping[str, Mapping[str, object]]) -> bytes:
    """A table as a file; a name that is no text on the disk is written as JSON can."""
    text = json.dumps(table, ensure_ascii=False, indent=2) + "\n"
    return text.encode("utf-8", "backslashreplace")


def texts_of_table(
    table: Mapping[str, PictureText], pictures: Iterable[Path], base: Path
) -> tuple[dict[Path, str], list[str]]:
    """The texts of a metadata file for these pictures, and the entries that none of them fits.

    Args:
        table: as formats/caption_metadata.py reads it.
        pictures: those whose captions are wanted.
        base: relative entries begin here.
    """
    by_name: dict[str, Path] = {}
    for picture in pictures:
        for name in (str(picture), _named(picture, base), picture.name):
            by_name.setdefault(name, picture)
            by_name.setdefault(_without_suffix(name), picture)
    texts: dict[Path, str] = {}
    unknown = []
    for name, entry in table.items():
        found = by_name.get(name) or by_name.get(name.replace("\\", "/")) or by_name.get(Path(name).name)
        text = entry.joined(", ", all_lines=False)
        if found is None:
            unknown.append(name)
        elif text:
            texts[found] = text
    return texts, unknown


def _named(picture: Path, base: Path) -> str:
    return picture.relative_to(base).as_posix() if picture.is_relative_to(base) else str(picture)


def _without_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in picture_suffixes() else name


def _size_of(picture: Path) -> dict[str, object]:
    try:
        return {"image_size": list(read_header(str(picture)).size_wh)}
    except (DataError, OSError):
        # The table is about captions; a picture that cannot be read is told of by the overview.
        return {}
