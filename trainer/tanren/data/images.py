"""Picture files to 8-bit RGB, whatever people have on their disks.

The order is fixed, because each step protects the next: regular file and size, kind from a short list of decoders,
pixel limit, full decode, EXIF orientation, colour mode. Transparent parts show the background, never hidden colours.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ..formats.picture_header import (
    PictureHeader,
    PictureLimits,
    check_limits,
    header_of,
    open_picture,
    readable_formats,
    unreadable,
)
from ..formats.picture_pixels import UPRIGHT, without_ancillary_chunks

Pixels = NDArray[np.uint8]
WHITE = (255, 255, 255)
DEFAULT_LIMITS = PictureLimits()


class LoadedImage(NamedTuple):
    """A decoded picture.

    Args:
        pixels: (H, W, 3), upright.
        alpha: (H, W), 255 is opaque; None when the picture has no transparency.
        digest: SHA-256 of the file's bytes.
        notes: what was odd but could be used, one sentence each.
    """

    pixels: Pixels
    alpha: Pixels | None
    digest: bytes
    notes: tuple[str, ...]


def load_image(
    path: str, limits: PictureLimits = DEFAULT_LIMITS, background: tuple[int, int, int] = WHITE
) -> LoadedImage:
    """Decode a picture.

    Args:
        path: the file.
        limits: sizes that are refused before decoding.
        background: RGB behind transparent parts.

    Raises:
        DataError: it cannot be used; the message says why.
        OSError: it cannot be opened or read.
    """
    with open_picture(path) as file:
        data = file.read()
    header = header_of(io.BytesIO(data), path)
    check_limits(header.stored_wh, limits, path)
    notes: list[str] = []
    image = _decoded(data, header, path, notes)
    if header.has_broken_exif:
        notes.append("broken EXIF data were ignored")
    if header.is_animated:
        notes.append("only the first frame of the animation is used")
    if header.orientation in UPRIGHT:
        image = image.transpose(UPRIGHT[header.orientation])
    pixels, alpha = to_rgb(image, background, path, notes)
    return LoadedImage(pixels, alpha, hashlib.sha256(data).digest(), tuple(notes))


def _decoded(data: bytes, header: PictureHeader, path: str, notes: list[str]) -> Image.Image:
    try:
        return _decode(data)
    except Exception as first:  # Decoders raise almost anything on damaged files.
        if header.format != "PNG":
            raise unreadable(path, f"The decoder says: {first}") from first
        try:
            image = _decode(without_ancillary_chunks(data))
        except Exception as second:
            raise unreadable(path, f"The decoder says: {second}") from second
        notes.append(f"texts inside the file were left away ({first})")
        return image


def _decode(data: bytes) -> Image.Image:
    with warnings.catch_warnings():
        # The number of pixels was checked against our own limit.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(data), formats=readable_formats())
        image.load()
    return image


def to_rgb(
    image: Image.Image, background: tuple[int, int, int], path: str, notes: list[str]
) -> tuple[Pixels, Pixels | None]:
    """Colours (H, W, 3) and alpha (H, W) or None, from any mode Pillow decodes to.

    Raises:
        DataError: floating-point pixels.
    """
    mode = image.mode
    if mode == "F":
        raise unreadable(path, "Its pixels are floating-point numbers, whose range is unknown.")
    if mode == "I" or mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint32)
        notes.append("16-bit grey was scaled to 8 bits")
        eight_bit = ((grey.clip(0, 65535) * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(eight_bit[:, :, None], 3, axis=2), None
    if mode in ("CMYK", "YCCK"):
        notes.append("CMYK was converted to RGB")
        return np.array(_from_cmyk(image)), None
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _composited(image.convert("RGBA"), background)
    return np.array(image.convert("RGB")), None


def _composited(image: Image.Image, background: tuple[int, int, int]) -> tuple[Pixels, Pixels]:
    ground = Image.new("RGBA", image.size, (*background, 255))
    return np.array(Image.alpha_composite(ground, image).convert("RGB")), np.array(image.getchannel("A"))


def _from_cmyk(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            # A profile that cannot be used is no worse than none.
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")
