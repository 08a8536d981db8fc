"""Metadata files: captions and tags of many pictures in one file.

JSON: `{"<picture>": {"caption": "...", "tags": "..."}}`; JSON lines (`.jsonl`): one object a line with `image_path`,
`caption`, `tags`. Both texts may be missing. A picture is an absolute path, or a path or name inside the image folder,
with or without suffix. Other keys, such as `image_size`, are left alone: sizes are read from the pictures themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError


class PictureText(NamedTuple):
    """What a metadata file says of one picture."""

    caption: str | None
    tags: str | None

    def joined(self, separator: str, *, all_lines: bool) -> str | None:
        """Caption, separator, tags, whichever exist; with `all_lines` the tags go behind every line of the caption."""
        if not self.tags:
            return self.caption
        tags = self.tags.replace("\r\n", "\n").replace("\n", separator) if all_lines else self.tags
        if not self.caption:
            return tags
        lines = self.caption.splitlines() if all_lines else [self.caption]
        return "\n".join(f"{line}{separator}{tags}" for line in lines if line.strip())


def read_caption_metadata(path: Path) -> dict[str, PictureText]:
    """Picture, as the file names it, to its texts; in the order of the file.

    Raises:
        DataError: not there, not UTF-8, not JSON, or of another shape; with the line where there is one.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _refused(path, f"The metadata file cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise _refused(path, f"The metadata file is not in UTF-8: byte {error.start} does not fit.") from error
    return caption_metadata(path, text)


def caption_metadata(path: Path, text: str) -> dict[str, PictureText]:
    """The same of the text of a file that was read already; `path` is for messages, and its suffix tells the kind.

    Raises:
        DataError: not JSON, or of another shape; with the line where there is one.
    """
    entries = _from_lines(path, text) if path.suffix.lower() == ".jsonl" else _from_object(path, text)
    return {name: _picture_text(path, name, value) for name, value in entries}


def _from_object(path: Path, text: str) -> list[tuple[str, Any]]:
    content = _parsed(path, text, 1)
    if not isinstance(content, dict):
        raise _refused(path, "A metadata file holds one object: picture to its caption and tags.")
    return list(content.items())


def _from_lines(path: Path, text: str) -> list[tuple[str, Any]]:
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        content = _parsed(path, line, number)
        if not isinstance(content, dict) or not isinstance(content.get("image_path"), str):
            raise _refused(path, f"Line {number} has no image_path.")
        entries.append((content["image_path"], content))
    return entries


def _parsed(path: Path, text: str, first_line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        line = first_line + getattr(error, "lineno", 1) - 1
        raise _refused(path, f"Line {line} is not JSON: {getattr(error, 'msg', error)}.") from error


def _picture_text(path: Path, name: str, value: Any) -> PictureText:
    if not isinstance(value, dict):
        raise _refused(path, f"{name!r}: expected an object with caption and tags.")
    for key in ("caption", "tags"):
        if not isinstance(value.get(key), (str, type(None))):
            raise _refused(path, f"{name!r}: {key} is not a text.")
    return PictureText(value.get("caption"), value.get("tags"))


def _refused(path: Path, what: str) -> DataError:
    return DataError(where=str(path), what=what, fix="Repair the file, or write it anew with the tool that made it.")
