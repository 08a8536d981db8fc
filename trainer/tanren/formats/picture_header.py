"""What a picture file says about itself before it is decoded: kind, size, orientation, animation.

PNG, JPEG and WebP headers are read here, which takes a third of Pillow's time; the rarer kinds go through Pillow, with
its own list of formats cut down to these, because rare decoders are where the faults are.
"""

from __future__ import annotations

import os
import stat
import struct
import warnings
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from PIL import Image

from ..errors import DataError

READ_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF", "JXL")
SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
    "JXL": (".jxl",),
    "GIF": (".gif",),
}
LARGEST_BYTES = 200 * 2**20
LONGEST_SIDE = 30_000
MOST_CHUNKS = 10_000
ORIENTATION_TAG = 0x0112
PNG_WITH_ALPHA = (4, 6)
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class PictureHeader(NamedTuple):
    """Facts from a picture's header.

    Args:
        format: Pillow's name of the kind, such as "JPEG".
        stored_wh: pixels as stored.
        orientation: EXIF orientation 1..8; 1 when absent or broken.
        is_animated: more than one frame.
        has_broken_exif: EXIF is there but cannot be understood.
        file_bytes: size of the file; 0 when the header was read from memory.
        has_alpha: there is room for transparency, whether it is used or not.
    """

    format: str
    stored_wh: tuple[int, int]
    orientation: int = 1
    is_animated: bool = False
    has_broken_exif: bool = False
    file_bytes: int = 0
    has_alpha: bool = False

    @property
    def size_wh(self) -> tuple[int, int]:
        """Pixels after the picture was turned upright."""
        width, height = self.stored_wh
        return (height, width) if self.orientation >= 5 else (width, height)


class PictureLimits(NamedTuple):
    """What is refused before decoding, in pixels."""

    max_pixels: int = 64_000_000
    min_side: int = 1


@lru_cache
def readable_formats() -> tuple[str, ...]:
    """The kinds this Pillow can read, out of those we accept."""
    Image.init()
    return tuple(name for name in READ_FORMATS if name in Image.OPEN)


def read_header(path: str) -> PictureHeader:
    """The header of a picture file.

    Raises:
        DataError: not a regular file, empty, too large, or no picture that can be read.
        OSError: it cannot be opened.
    """
    with open_picture(path) as file:
        return header_of(file, path)._replace(file_bytes=os.fstat(file.fileno()).st_size)


def open_picture(path: str) -> BinaryIO:
    """Open a regular file of a size a picture can have; the same errors as `read_header`."""
    # Without O_NONBLOCK a named pipe among the pictures would block the scan for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise unreadable(path, "It is not a regular file.")
        if facts.st_size == 0:
            raise unreadable(path, "The file is empty.")
        if facts.st_size > LARGEST_BYTES:
            raise unreadable(path, f"The file has {facts.st_size} bytes; at most {LARGEST_BYTES} are read.")
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb", buffering=4096)


def header_of(file: BinaryIO, path: str) -> PictureHeader:
    """The header of an open picture; `path` is for messages."""
    start = file.read(12)
    try:
        if start[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(file)
        if start[:3] == b"\xff\xd8\xff":
            return _jpeg(file)
        if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
            return _webp(file)
    except (struct.error, ValueError) as error:
        raise unreadable(path, f"Its header is damaged: {error}") from error
    return _through_pillow(file, path, start)


def check_limits(size_wh: tuple[int, int], limits: PictureLimits, path: str) -> None:
    """Refuse sizes that would exhaust memory or cannot be trained, with the numbers.

    Raises:
        DataError: too many pixels, too long a side, or too short a side.
    """
    width, height = size_wh
    if width * height > limits.max_pixels or max(size_wh) > LONGEST_SIDE:
        raise DataError(
            where=path,
            what=f"The picture is too large: {width}x{height} pixels.",
            why=f"At most {limits.max_pixels} pixels and {LONGEST_SIDE} pixels a side are decoded.",
            fix="Make it smaller, or raise --max_pixels.",
        )
    if min(size_wh) < limits.min_side:
        raise DataError(
            where=path,
            what=f"The picture is too small: {width}x{height} pixels.",
            why=f"The shorter side must have at least {limits.min_side} pixels.",
            fix="Remove it, or lower --min_side.",
        )


def unreadable(path: str, why: str) -> DataError:
    """A file that cannot be used as a picture."""
    return DataError(
        where=path,
        what="The picture cannot be read.",
        why=why,
        fix="Repair or remove it, or use --on_bad_image=skip to leave such pictures out.",
    )


def orientation_of(exif: bytes) -> int:
    """EXIF orientation 1..8 from a TIFF block, with or without the `Exif` prefix; 1 when it has none.

    Raises:
        ValueError, struct.error: the block is broken.
    """
    block = exif[6:] if exif[:6] == b"Exif\x00\x00" else exif
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        raise ValueError("EXIF does not begin with a TIFF header.")
    (place,) = struct.unpack_from(f"{order}I", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, place)
    for index in range(count):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, place + 2 + 12 * index)
        if tag == ORIENTATION_TAG:
            if kind != 3 or not 1 <= value <= 8:
                raise ValueError(f"EXIF orientation {value} does not exist.")
            return int(value)
    return 1


def _with_exif(header: PictureHeader, exif: bytes | None) -> PictureHeader:
    if exif is None:
        return header
    try:
        return header._replace(orientation=orientation_of(exif))
    except (ValueError, struct.error):
        return header._replace(has_broken_exif=True)


def _png(file: BinaryIO) -> PictureHeader:
    file.seek(8)
    length, name, width, height = struct.unpack(">I4sII", file.read(16))
    if name != b"IHDR" or length != 13:
        raise ValueError("a PNG begins with IHDR.")
    _, colour = file.read(2)
    header = PictureHeader("PNG", _sides(width, height), has_alpha=colour in PNG_WITH_ALPHA)
    exif = None
    file.seek(33)
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("it ends before the picture.")
        length, name = struct.unpack(">I4s", head)
        if name == b"IDAT":
            break
        if name == b"acTL":
            header = header._replace(is_animated=True)
        if name == b"tRNS":
            header = header._replace(has_alpha=True)
        if name == b"eXIf":
            exif = file.read(min(length, LARGEST_BYTES))
            length -= len(exif)
        file.seek(length + 4, os.SEEK_CUR)
    return _with_exif(header, exif)


def _jpeg(file: BinaryIO) -> PictureHeader:
    file.seek(2)
    exif = None
    for _ in range(MOST_CHUNKS):
        marker = _next_marker(file)
        if marker in START_OF_FRAME:
            height, width = struct.unpack(">HH", file.read(7)[3:7])
            return _with_exif(PictureHeader("JPEG", _sides(width, height)), exif)
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if length < 2:
            raise ValueError("a JPEG segment has no length.")
        if marker == 0xE1 and exif is None and length > 8:
            segment = file.read(length - 2)
            exif = segment if segment[:6] == b"Exif\x00\x00" else None
        else:
            file.seek(length - 2, os.SEEK_CUR)
    raise ValueError("no frame was found.")


def _next_marker(file: BinaryIO) -> int:
    mark = file.read(2)
    # Some writers leave fill or stray bytes between segments; decoders look for the next marker too.
    for _ in range(MOST_CHUNKS):
        if len(mark) < 2:
            break
        if mark[0] == 0xFF and mark[1] not in (0x00, 0xFF):
            return mark[1]
        mark = mark[1:] + file.read(1)
    raise ValueError("it ends before the picture.")


def _webp(file: BinaryIO) -> PictureHeader:
    name, _ = struct.unpack("<4sI", file.read(8))
    data = file.read(10)
    if name == b"VP8X":
        flags = data[0]
        width = int.from_bytes(data[4:7], "little") + 1
        height = int.from_bytes(data[7:10], "little") + 1
        header = PictureHeader("WEBP", (width, height), is_animated=bool(flags & 0x02), has_alpha=bool(flags & 0x10))
        return _with_exif(header, _webp_exif(file) if flags & 0x08 else None)
    if name == b"VP8 ":
        if data[3:6] != b"\x9d\x01\x2a":
            raise ValueError("a WebP frame has no start code.")
        width, height = struct.unpack("<HH", data[6:10])
        return PictureHeader("WEBP", _sides(width & 0x3FFF, height & 0x3FFF))
    if name == b"VP8L" and data[:1] == b"\x2f":
        bits = int.from_bytes(data[1:5], "little")
        size = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        return PictureHeader("WEBP", size, has_alpha=bool(bits >> 28 & 1))
    raise ValueError("it is a WebP without a picture.")


def _webp_exif(file: BinaryIO) -> bytes | None:
    file.seek(12)
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return None
        name, length = struct.unpack("<4sI", head)
        if name == b"EXIF":
            return file.read(length)
        file.seek(length + (length & 1), os.SEEK_CUR)
    return None


def _sides(width: int, height: int) -> tuple[int, int]:
    if width < 1 or height < 1:
        raise ValueError(f"{width}x{height} pixels.")
    return width, height


def _through_pillow(file: BinaryIO, path: str, start: bytes) -> PictureHeader:
    file.seek(0)
    try:
        with warnings.catch_warnings():
            # Our own limit is checked on the size that comes out; Pillow's is another.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=readable_formats()) as image:
                is_animated = getattr(image, "n_frames", 1) > 1
                has_alpha = "A" in image.getbands() or "transparency" in image.info
                header = PictureHeader(image.format or "", image.size, is_animated=is_animated, has_alpha=has_alpha)
                return _with_exif(header, image.info.get("exif"))
    except Exception as error:  # Decoders raise almost anything on damaged files.
        raise unreadable(path, _what_it_is(start) or f"The decoder says: {error}") from error


def _what_it_is(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "It is a web page or drawing (text), not a picture of pixels."
    if text.startswith(b"version http"):
        return "It is a Git LFS pointer: the picture itself was never downloaded."
    if start and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start):
        return "It is a text file."
    return ""
