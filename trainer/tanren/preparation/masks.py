"""Transparency as people want it: no half-transparent rims, alpha from a mask picture, masks for masked loss.

Masks for masked loss are grey pictures of their picture's size, white where is learned and black where is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

from ..data.listing import folded, list_folder, stem_of
from ..errors import DataError, Problems, UsageError
from .pixels import has_alpha

LARGEST_GROWTH = 100


def clean_rims(image: Image.Image, threshold: int) -> Image.Image:
    """Every pixel is wholly there, when its alpha reaches the threshold, or wholly gone.

    Args:
        image: as `in_eight_bits` makes it; without alpha it stays as it is.
        threshold: 1..255.

    Raises:
        UsageError: no such threshold.
    """
    check_threshold(threshold)
    if not has_alpha(image):
        return image
    alpha = image.getchannel("A").point([255 if value >= threshold else 0 for value in range(256)])
    return with_alpha(image, alpha)


def check_threshold(threshold: int) -> None:
    """Refuse what is no alpha from which something is there.

    Raises:
        UsageError: it is not within 1..255.
    """
    if not 1 <= threshold <= 255:
        raise UsageError(where=f"threshold {threshold}", what="Alpha goes from 0 to 255.", fix="Try 128.")


def check_growth(pixels: int) -> None:
    """Refuse to let a mask grow or shrink farther than any rim reaches.

    Raises:
        UsageError: it is more than LARGEST_GROWTH.
    """
    if abs(pixels) > LARGEST_GROWTH:
        raise UsageError(where=f"grow {pixels}", what=f"At most {LARGEST_GROWTH} pixels.", fix="Try 2 or -2.")


def grown(alpha: Image.Image, pixels: int) -> Image.Image:
    """A mask whose white parts reach so many pixels farther; a negative number takes them back.

    Raises:
        UsageError: farther than any rim reaches.
    """
    check_growth(pixels)
    step = ImageFilter.MaxFilter(3) if pixels > 0 else ImageFilter.MinFilter(3)
    for _ in range(abs(pixels)):
        alpha = alpha.filter(step)
    return alpha


def softened(alpha: Image.Image, radius: float) -> Image.Image:
    """A mask with soft rims."""
    return alpha.filter(ImageFilter.GaussianBlur(radius)) if radius > 0 else alpha


def reshaped(image: Image.Image, grow: int, soften: float) -> Image.Image:
    """The picture with its alpha grown and softened; without alpha it stays as it is."""
    if not has_alpha(image):
        return image
    return with_alpha(image, softened(grown(image.getchannel("A"), grow), soften))


def with_alpha(image: Image.Image, alpha: Image.Image) -> Image.Image:
    """The picture with another alpha channel; its colours stay, also where they are hidden then."""
    result = image.convert("RGB")
    result.putalpha(alpha)
    return result


def restored(image: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with the alpha that a mask picture of the same shape says.

    Raises:
        DataError: the mask has another shape.
    """
    if mask.size != image.size:
        across, down = mask.width / image.width, mask.height / image.height
        if abs(across - down) * max(image.size) > 2:
            raise DataError(
                where="mask",
                what=f"The mask has {mask.width}x{mask.height} pixels, the picture {image.width}x{image.height}.",
                fix="Give masks of the same shape.",
            )
        mask = mask.resize(image.size, Image.Resampling.BILINEAR)
    return with_alpha(image, mask.convert("L"))


def masks_in(folder: Path) -> dict[str, Path]:
    """The mask pictures of a folder by the folded stem of their names.

    Raises:
        DataError: it cannot be read.
    """
    problems = Problems()
    listing = list_folder(str(folder), problems)
    problems.raise_if_any()
    return {folded(stem_of(name)): folder / name for name in listing.pictures}


def mask_for(picture: Path, masks: Mapping[str, Path]) -> Path:
    """The mask of a picture.

    Raises:
        DataError: there is none of its name.
    """
    found = masks.get(folded(picture.stem))
    if found is None:
        raise DataError(where=picture.name, what="There is no mask of this name.", fix="Add one, or leave it out.")
    return found


def mask_picture(image: Image.Image, *, inverted: bool = False) -> Image.Image:
    """The mask for masked loss: white where the picture can be seen, which is everywhere when it has no alpha."""
    alpha = image.getchannel("A") if has_alpha(image) else Image.new("L", image.size, 255)
    return ImageChops.invert(alpha) if inverted else alpha
