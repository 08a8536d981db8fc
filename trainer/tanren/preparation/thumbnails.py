"""Small versions of pictures for a page: upright, within a square, kept in memory while the file stays the same."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..formats.picture_header import PictureLimits
from ..formats.picture_pixels import open_upright

KEPT_BYTES = 48 * 2**20
LIMITS = PictureLimits()
QUALITY = 82
SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class SmallPicture:
    """An encoded picture.

    Args:
        content: JPEG, or PNG where some of it can be seen through.
        media_type: of the content.
        tag: changes with the file and the side.
    """

    content: bytes
    media_type: str
    tag: str


class Thumbnails:
    """Makes small pictures and keeps those asked for last; may be asked from several threads.

    Args:
        most_bytes: of encoded pictures that are kept.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[tuple[str, str], SmallPicture] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def tag(self, path: str, side: int) -> str:
        """What `small` would give its picture.

        Raises:
            OSError: the file is not there.
        """
        status = Path(path).stat()
        return f'"{status.st_mtime_ns:x}-{status.st_size:x}-{side}"'

    def small(self, path: str, side: int) -> SmallPicture:
        """A picture whose longer side is at most `side` pixels.

        Raises:
            DataError: it cannot be decoded.
            OSError: it cannot be read.
        """
        tag = self.tag(path, side)
        with self._lock:
            known = self._kept.get((path, tag))
            if known is not None:
                self._kept.move_to_end((path, tag))
                return known
        made = _made(path, side, tag)
        with self._lock:
            self._kept[path, tag] = made
            self._bytes += len(made.content)
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1].content)
        return made


def _made(path: str, side: int, tag: str) -> SmallPicture:
    image = open_upright(path, LIMITS, draft_wh=(side, side))
    if image.mode in SIXTEEN_BIT:
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    is_see_through = "A" in image.getbands() or "transparency" in image.info
    image = image.convert("RGBA" if is_see_through else "RGB")
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    if is_see_through:
        image.save(file, "PNG")
        return SmallPicture(file.getvalue(), "image/png", tag)
    image.save(file, "JPEG", quality=QUALITY)
    return SmallPicture(file.getvalue(), "image/jpeg", tag)
