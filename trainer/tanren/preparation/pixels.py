"""What copies of pictures go through: 8 bits, sRGB, transparency, size, crop; then a file format.

Functions from a decoded, upright picture to another. RGB stays what it is behind transparent parts, until something is
put there.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageColor

from ..data.buckets import Size, centre_crop, cover, half_up
from ..errors import UsageError
from .fitting import Crop

Change = Callable[[Image.Image], Image.Image]
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
SUFFIX_OF = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
WITHOUT_ALPHA = ("JPEG",)
KEEP, FLATTEN, OPAQUE = "keep", "flatten", "opaque"


@dataclass(frozen=True)
class Encoding:
    """How copies are written.

    Args:
        format: a value of FORMATS.
        quality: 1..100, for JPEG and lossy WebP; 100 means lossless WebP.
    """

    format: str
    quality: int = 95


def in_eight_bits(image: Image.Image) -> Image.Image:
    """The picture as L, LA, RGB or RGBA, in sRGB where its profile says it is in another colour space."""
    profile = image.info.get("icc_profile")
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow cuts 16 bits off at 255; 257 is what maps white to white.
        return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        changed = image.convert("RGBA")
    elif image.mode in ("L", "1"):
        return without_info(image.convert("L"))
    else:
        changed = image
    return in_srgb(changed, profile) if profile or changed.mode not in ("RGB", "RGBA") else without_info(changed)


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB or RGBA in sRGB; a profile that cannot be used is no worse than none."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colours = image.convert("RGB") if alpha is not None or image.mode == "P" else image
    converted = None
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(colours, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
    result = converted if converted is not None else colours.convert("RGB")
    if alpha is not None:
        result.putalpha(alpha)
    return without_info(result)


def without_info(image: Image.Image) -> Image.Image:
    """The picture without profile, EXIF and texts, which would be written into copies."""
    image = image.copy()
    image.info.clear()
    return image


def has_alpha(image: Image.Image) -> bool:
    """True when there is an alpha channel."""
    return image.mode == "RGBA"


def flattened(image: Image.Image, color: tuple[int, int, int]) -> Image.Image:
    """Transparent parts show the colour; hidden colours never come out."""
    if not has_alpha(image):
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, (*color, 255)), image).convert("RGB")


def opaque(image: Image.Image) -> Image.Image:
    """Without alpha: the colours that were hidden behind transparency come out."""
    return image.convert("RGB") if has_alpha(image) else image


def resized(image: Image.Image, size_wh: Size) -> Image.Image:
    """Lanczos; colours of transparent parts do not bleed into the others."""
    if image.size == size_wh:
        return image
    if has_alpha(image):
        return image.convert("RGBa").resize(size_wh, Image.Resampling.LANCZOS).convert("RGBA")
    return image.resize(size_wh, Image.Resampling.LANCZOS)


def longest_side(size_wh: Size, pixels: int, *, enlarges: bool) -> Size:
    """The size of the same shape whose longer side has so many pixels."""
    return _scaled(size_wh, pixels / max(size_wh), enlarges)


def shortest_side(size_wh: Size, pixels: int, *, enlarges: bool) -> Size:
    """The size of the same shape whose shorter side has so many pixels."""
    return _scaled(size_wh, pixels / min(size_wh), enlarges)


def area(size_wh: Size, pixels: int, *, enlarges: bool) -> Size:
    """The size of the same shape with about so many pixels in all."""
    return _scaled(size_wh, (pixels / (size_wh[0] * size_wh[1])) ** 0.5, enlarges)


def exactly(image: Image.Image, size_wh: Size) -> Image.Image:
    """Resized to cover the size, and its middle cropped to it."""
    return cropped(
        image, centre_crop(cover(image.size, size_wh), size_wh).left_top, size_wh, cover(image.size, size_wh)
    )


def as_trained(image: Image.Image, crop: Crop) -> Image.Image:
    """Resized and cropped to the bucket that training would use."""
    return cropped(image, crop.left_top, crop.bucket_wh, crop.resized_wh)


def cropped(image: Image.Image, left_top: tuple[int, int], size_wh: Size, resized_wh: Size) -> Image.Image:
    """Resized, then cropped from `left_top` on."""
    left, top = left_top
    return resized(image, resized_wh).crop((left, top, left + size_wh[0], top + size_wh[1]))


def boxed(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """The part of a picture inside left, top, right, bottom, as far as it lies in the picture.

    Raises:
        UsageError: nothing of it does.
    """
    left, top, right, bottom = box
    inside = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise UsageError(
            where=f"crop {left},{top},{right},{bottom}",
            what=f"This lies outside of a picture of {image.width}x{image.height} pixels.",
            fix="Write LEFT,TOP,RIGHT,BOTTOM in pixels.",
        )
    return image.crop(inside)


def encoded(image: Image.Image, encoding: Encoding) -> bytes:
    """The bytes of a file; without profile, EXIF and texts.

    Raises:
        UsageError: the format cannot hold transparency.
    """
    if has_alpha(image) and encoding.format in WITHOUT_ALPHA:
        raise UsageError(
            where=encoding.format,
            what=f"{encoding.format} files cannot be transparent.",
            fix="Choose PNG or WebP, or what becomes of transparent parts: white, black or a colour.",
        )
    file = io.BytesIO()
    if encoding.format == "JPEG":
        image.save(file, "JPEG", quality=encoding.quality, subsampling=0 if encoding.quality >= 90 else 2)
    elif encoding.format == "WEBP":
        # `exact` keeps the colours behind transparent parts, which masked training may use.
        image.save(file, "WEBP", quality=encoding.quality, lossless=encoding.quality == 100, method=4, exact=True)
    else:
        image.save(file, "PNG")
    return file.getvalue()


def colour(text: str, where: str) -> tuple[int, int, int]:
    """A colour from its name or `#rrggbb`.

    Raises:
        UsageError: it is neither.
    """
    try:
        found = ImageColor.getrgb(text)
    except ValueError as error:
        raise UsageError(
            where=where, what=f"{text!r} is no colour.", fix="Write white, black, or a colour as #8090a0."
        ) from error
    return found[0], found[1], found[2]


def _scaled(size_wh: Size, factor: float, enlarges: bool) -> Size:
    if factor >= 1 and not enlarges:
        return size_wh
    return max(1, half_up(size_wh[0] * factor)), max(1, half_up(size_wh[1] * factor))
