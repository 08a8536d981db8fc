"""Cover pictures inside of a file's metadata: decoded within limits, re-encoded, never passed on as they are."""

from __future__ import annotations

import base64
import binascii
import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..errors import DataError

MAX_BASE64 = 4 * 2**20
MAX_PIXELS = 16_000_000
MAX_FILE = 50 * 2**20
FORMATS = ("PNG", "JPEG", "WEBP")
COVER_SIDE = 512
THUMBNAIL_SIDE = 256


@dataclass(frozen=True)
class Cover:
    """A picture fit to be shown.

    Args:
        png: encoded anew; empty when there is none.
        source: the key it stood under, or "preview".
        problem: why there is none; empty when all is well.
    """

    png: bytes = b""
    source: str = ""
    problem: str = ""


def cover_of(metadata: Mapping[str, str]) -> Cover:
    """The cover inside of the header: ModelSpec's thumbnail first, else the first of Additional Networks' pictures."""
    problems = []
    for key in ("modelspec.thumbnail", "ssmd_cover_images"):
        text = _encoded(metadata, key)
        if text is None:
            continue
        try:
            return Cover(picture_bytes(_decoded(text), COVER_SIDE), key)
        except DataError as problem:
            problems.append(f"{key} is unreadable: {problem.what}")
    return Cover(problem=problems[0] if problems else "")


def picture_bytes(data: bytes, side: int, *, form: str = "PNG") -> bytes:
    """A picture encoded anew, at most `side` pixels wide and high.

    Raises:
        DataError: it is not a PNG, JPEG or WebP picture, is damaged, or has more than 16 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    raise DataError(what=f"{width} × {height} pixels; at most {MAX_PIXELS // 1_000_000} million.")
                picture.load()
                shown = picture.convert("RGBA" if form == "PNG" else "RGB")
        shown.thumbnail((side, side))
        target = io.BytesIO()
        shown.save(target, form)
        return target.getvalue()
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on hostile bytes.
        raise DataError(what=f"it is no picture that can be decoded ({type(error).__name__}).") from error


def cover_values(picture: Path) -> dict[str, str]:
    """The two metadata values that hold a cover: a data URL for ModelSpec, plain base64 for Forge and ComfyUI.

    Raises:
        DataError: the file is no picture.
    """
    return cover_values_of(read_picture(picture), str(picture))


def cover_values_of(data: bytes, where: str) -> dict[str, str]:
    """The same of a picture's bytes.

    Args:
        data: of a PNG, JPEG or WebP picture.
        where: what to call it in messages.
    """
    try:
        small, large = picture_bytes(data, THUMBNAIL_SIDE, form="JPEG"), picture_bytes(data, COVER_SIDE, form="JPEG")
    except DataError as problem:
        raise DataError(where=where, what=f"The cover cannot be used: {problem.what}") from problem
    return {
        "modelspec.thumbnail": "data:image/jpeg;base64," + base64.b64encode(small).decode("ascii"),
        "ssmd_cover_images": json.dumps([base64.b64encode(large).decode("ascii")]),
    }


def read_picture(picture: Path) -> bytes:
    """The bytes of a picture of a size that a person would choose.

    Raises:
        DataError: larger than 50 MB, or it cannot be read.
    """
    try:
        if picture.stat().st_size > MAX_FILE:
            raise DataError(where=str(picture), what="The picture is larger than 50 MB.", fix="Make it smaller.")
        return picture.read_bytes()
    except OSError as error:
        raise DataError(where=str(picture), what="The picture cannot be read.", why=str(error.strerror)) from error


def _encoded(metadata: Mapping[str, str], key: str) -> str | None:
    """The base64 text of a cover, without its data URL; None when there is none."""
    text = metadata.get(key, "")
    if key == "ssmd_cover_images" and text:
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            listed = [""]
        if not isinstance(listed, list) or not listed:
            return None if listed == [] else ""
        text = listed[0] if isinstance(listed[0], str) else ""
        return _without_url(text)
    return _without_url(text) if text else None


def _without_url(text: str) -> str:
    head, comma, rest = text.partition(",")
    return rest if comma and head.startswith("data:image/") and head.endswith(";base64") else text


def _decoded(text: str) -> bytes:
    if len(text) > MAX_BASE64:
        raise DataError(what=f"{len(text)} characters of base64; at most {MAX_BASE64} are decoded.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(what="it is not base64.") from error
