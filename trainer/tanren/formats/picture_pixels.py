"""A picture file to a decoded, upright picture, with Pillow alone.

The order is fixed, because each step protects the next: regular file and size, kind from a short list of decoders,
pixel limit, full decode, EXIF orientation. Colours and transparency stay as they are in the file.
"""

from __future__ import annotations

import io
import struct
import warnings

from PIL import Image

from .picture_header import PictureLimits, check_limits, header_of, open_picture, readable_formats, unreadable

DEFAULT_LIMITS = PictureLimits()
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Everything that decides about pixels; text, time and animation chunks can be left away.
PNG_CHUNKS_KEPT = frozenset([b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT"])
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_upright(
    path: str, limits: PictureLimits = DEFAULT_LIMITS, *, draft_wh: tuple[int, int] | None = None
) -> Image.Image:
    """Decode a picture completely and turn it upright; its first frame when it is animated.

    Args:
        path: the file.
        limits: sizes that are refused before decoding.
        draft_wh: where the decoder can do so quickly, decode at a smaller size that is not below this one.

    Raises:
        DataError: it cannot be used; the message says why.
        OSError: it cannot be opened or read.
    """
    with open_picture(path) as file:
        data = file.read()
    header = header_of(io.BytesIO(data), path)
    check_limits(header.stored_wh, limits, path)
    try:
        image = _decoded(data, draft_wh)
    except Exception as first:  # Decoders raise almost anything on damaged files.
        if header.format != "PNG":
            raise unreadable(path, f"The decoder says: {first}") from first
        try:
            # Texts of megabytes make the decoder refuse the rest.
            image = _decoded(without_ancillary_chunks(data), draft_wh)
        except Exception as second:
            raise unreadable(path, f"The decoder says: {second}") from second
    image.info.pop("exif", None)
    return image.transpose(UPRIGHT[header.orientation]) if header.orientation in UPRIGHT else image


def without_ancillary_chunks(data: bytes) -> bytes:
    """A PNG reduced to what decides about its pixels; compressed text of megabytes makes decoders refuse the rest."""
    kept = [PNG_SIGNATURE]
    place = len(PNG_SIGNATURE)
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        if name in PNG_CHUNKS_KEPT:
            kept.append(data[place : place + 12 + length])
        place += 12 + length
    return b"".join(kept)


def _decoded(data: bytes, draft_wh: tuple[int, int] | None) -> Image.Image:
    with warnings.catch_warnings():
        # The number of pixels was checked against our own limit.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(data), formats=readable_formats())
        if draft_wh is not None:
            image.draft("RGB", draft_wh)
        image.load()
    return image
