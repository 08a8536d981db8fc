"""Sample pictures on their way to a browser: only what Pillow reads as one of our picture formats goes out."""

from __future__ import annotations

import io
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ..errors import DataError

MEDIA_TYPES = {"PNG": "image/png", "WEBP": "image/webp"}
LARGEST_BYTES, LARGEST_PIXELS = 64 * 1024 * 1024, 64_000_000


@dataclass(frozen=True)
class Picture:
    """A checked picture.

    Args:
        media_type: of its content, not of its name.
        tag: changes whenever the file does.
    """

    content: bytes
    media_type: str
    tag: str


def read_picture(path: Path) -> Picture:
    """A sample picture, looked at before it goes out.

    Raises:
        DataError: it is not a whole PNG or WebP picture of a usual size.
    """
    status = path.lstat()
    # A link could lead anywhere.
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_BYTES:
        raise DataError(where=path.name, what="The picture is too large to be shown.")
    content = path.read_bytes()
    return Picture(content, _media_type(content, path.name), f'"{status.st_mtime_ns:x}-{status.st_size:x}"')


def _media_type(content: bytes, name: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=tuple(MEDIA_TYPES)) as picture:
                if picture.width * picture.height > LARGEST_PIXELS:
                    raise DataError(where=name, what="The picture is too large to be shown.")
                kind = str(picture.format)
                picture.verify()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombWarning) as error:
        raise DataError(where=name, what="It is not a whole PNG or WebP picture.", why=str(error)) from error
    return MEDIA_TYPES[kind]
