"""What these tools write: captions beside pictures and copies in another folder, each change journalled.

A rehearsal (`--dry-run`) goes through the same functions with no recorder and touches nothing.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import DataError
from ..events import Report
from ..formats.captions import LARGEST_BYTES, likely_encoding
from ..paths import data_folder
from ..preparation.journal import Journal, Recorder, Write
from .pictures import Found, Outcome


@dataclass(frozen=True)
class NewCaption:
    """What a model says about a picture.

    Args:
        found: the picture.
        text: the whole new caption, or None when it stays as it is.
        before: bytes of the caption file as it was read, None when there was none.
        facts: for whoever watches: scores and the like.
    """

    found: Found
    text: str | None
    before: bytes | None
    facts: dict[str, Any]


@contextlib.contextmanager
def changes(title: str, folder: Path, *, dry_run: bool) -> Iterator[Recorder | None]:
    """The recorder of one operation that can be undone, or None for a rehearsal."""
    if dry_run:
        yield None
        return
    with Journal(data_folder()).operation(title, folder) as recorder:
        yield recorder


def caption_so_far(found: Found) -> tuple[str, bytes | None]:
    """The caption of a picture and its bytes; an empty one when it has none.

    Raises:
        DataError: it is not UTF-8, so nothing can be added to it.
    """
    try:
        data = found.caption.read_bytes()
    except FileNotFoundError:
        return "", None
    if len(data) > LARGEST_BYTES:
        what = f"The caption is longer than {LARGEST_BYTES} bytes."
        raise DataError(where=str(found.caption), what=what, fix="Check that this is the right file.")
    try:
        return data.decode("utf-8-sig"), data
    except UnicodeDecodeError as error:
        likely = likely_encoding(data)
        raise DataError(
            where=str(found.caption),
            what="The caption is not in UTF-8, so it was left alone.",
            why=f"It looks like {likely}." if likely else "",
            fix="Convert the captions of this folder to UTF-8 first.",
        ) from error


def write_captions(captions: Sequence[NewCaption], recorder: Recorder | None, report: Report, outcome: Outcome) -> None:
    """Write the captions that are new, and tell about all of them."""
    new = [caption for caption in captions if caption.text is not None]
    if recorder is not None:
        recorder.write_all(
            Write(caption.found.caption, f"{caption.text}\n".encode(), caption.before) for caption in new
        )
    outcome.written += len(new)
    outcome.unchanged += len(captions) - len(new)
    for caption in captions:
        changed = caption.text is not None
        text = caption.text if changed else "stays as it is"
        report.tell("picture", file=str(caption.found.path), changed=changed, text=text, **caption.facts)


def write_copy(
    image: Image.Image,
    target: Path,
    source: Found,
    recorder: Recorder | None,
    report: Report,
    outcome: Outcome,
    *,
    copies_caption: bool = False,
    **facts: Any,
) -> None:
    """Write a picture as PNG under a name that is free; a name that is taken is told and left alone.

    Args:
        image: any mode that PNG has.
        target: the file; missing folders are made.
        source: the picture it was made from.
        copies_caption: its caption goes along, when it has one and none lies there.
        facts: for whoever watches.
    """
    if target.exists():
        outcome.unchanged += 1
        text = f"{target.name} is there already"
        report.tell("picture", file=str(source.path), changed=False, text=text, **facts)
        return
    if recorder is not None:
        data = png_bytes(image)
        recorder.make_folder(target.parent)
        recorder.create(target, lambda file: _write_all(file, data), expected_bytes=len(data))
        caption = target.with_suffix(source.caption.suffix)
        if copies_caption and source.caption.is_file() and not caption.exists():
            recorder.write(caption, source.caption.read_bytes(), expected=None)
    outcome.written += 1
    report.tell("picture", file=str(source.path), changed=True, made=str(target), text=target.name, **facts)


def png_bytes(image: Image.Image, parameters: str = "") -> bytes:
    """A picture as a PNG file."""
    facts = PngInfo()
    if parameters:
        facts.add_text("parameters", parameters)
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=facts)
    return stream.getvalue()


def _write_all(file: Any, data: bytes) -> None:
    file.write(data)
