"""Caption files: one text file beside each picture, of the same name with another suffix.

UTF-8 (with or without byte order mark), or the encoding the user names; nothing is guessed. At most 64 KiB, not empty,
no NUL. Without wildcards only the first line counts; with them every line that is not blank is one caption.
"""

from __future__ import annotations

from io import FileIO
from pathlib import PurePath
from typing import NamedTuple

from ..errors import DataError
from .likely_encoding import likely_encoding

LARGEST_BYTES = 64 * 1024
FACE_PARTS = 5


class CaptionText(NamedTuple):
    """What a caption file says, and how many further lines were left out."""

    text: str
    lines_left_out: int


def caption_names(stem: str, extension: str) -> list[str]:
    """Names under which a picture's caption is looked for, best first.

    Pictures named `<stem>_<cx>_<cy>_<w>_<h>` by face detection share the caption of `<stem>`.
    """
    parts = stem.split("_")
    names = [stem + extension]
    if len(parts) >= FACE_PARTS:
        names.append("_".join(parts[:-4]) + extension)
    return names


def read_caption(path: str, encoding: str = "utf-8", *, all_lines: bool = False) -> CaptionText:
    """Read one caption file.

    Args:
        path: the file.
        encoding: any name Python knows.
        all_lines: keep every line that is not blank (wildcards), joined by newlines.

    Raises:
        DataError: empty, too long, with NUL, or not in `encoding`.
        OSError: the file cannot be read.
    """
    with FileIO(path) as file:
        data = file.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise DataError(
            where=path,
            what=f"The caption is longer than {LARGEST_BYTES} bytes.",
            fix="A caption is a line of text; check that this is the right file.",
        )
    return _lines(decode_text(data, encoding, path), path, all_lines)


def decode_text(data: bytes, encoding: str, path: str) -> str:
    """Decode or say at which byte it fails and which encoding is likely: that is told, never used."""
    name = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        likely = likely_encoding(data)
        raise DataError(
            where=path,
            what=f"The text is not in {encoding}: byte {error.start} does not fit.",
            why=f"It looks like {likely}." if likely else "",
            fix=f"Save it as UTF-8, or use --caption_encoding={likely or '…'} if all captions are in that encoding.",
        ) from error
    if "\x00" in text:
        raise DataError(
            where=path,
            what=f"The text holds a NUL character (character {text.index(chr(0))}).",
            why=f"It looks like {likely}." if (likely := likely_encoding(data)) else "",
            fix="Save it as UTF-8 text.",
        )
    return text.removeprefix("\ufeff")


def _lines(text: str, path: str, all_lines: bool) -> CaptionText:
    lines = [line.strip() for line in text.splitlines()]
    filled = [line for line in lines if line]
    if not filled:
        raise DataError(
            where=path,
            what="The caption is empty.",
            fix=f"Write a caption, or delete {PurePath(path).name} so that the folder's text is used.",
        )
    if all_lines:
        return CaptionText("\n".join(filled), 0)
    if not lines[0]:
        raise DataError(
            where=path,
            what="The first line of the caption is blank, and only the first line counts.",
            fix="Move the caption to the first line, or use --enable_wildcard to draw among the lines.",
        )
    return CaptionText(lines[0], len(filled) - 1)
