"""Captions and copies as files: what is there, and what will be."""

from __future__ import annotations

import io

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import DataError
from ..formats.captions import LARGEST_BYTES
from ..formats.likely_encoding import likely_encoding
from .pictures import Found


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


def png_bytes(image: Image.Image, parameters: str = "") -> bytes:
    """A picture as a PNG file."""
    facts = PngInfo()
    if parameters:
        facts.add_text("parameters", parameters)
    stream = io.BytesIO()
    image.save(stream, "PNG", pnginfo=facts)
    return stream.getvalue()
