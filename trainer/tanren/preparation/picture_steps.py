"""What copies of pictures go through, said once: the page and the command line describe it and have it carried out.

The order is fixed: transparency from a mask picture, its rims, its growth, then the part that is kept, then what
becomes of transparent parts (or the mask picture itself), then the size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ..data.buckets import Size
from ..errors import UsageError
from ..formats.picture_pixels import open_upright
from ..options.dataset_plan import DatasetPlan
from . import masks, pixels
from .copies import alone
from .fitting import cropper

FileChange = Callable[[Image.Image, Path], Image.Image]
Box = tuple[int, int, int, int]

LEAVE, LONGEST, SHORTEST, AREA, EXACT, TRAINED = "none", "longest", "shortest", "area", "exact", "trained"
SIZES = (LEAVE, LONGEST, SHORTEST, AREA, EXACT, TRAINED)


@dataclass(frozen=True, kw_only=True)
class PictureSteps:
    """What is made of each picture; as it stands, an upright copy in sRGB.

    Args:
        masks: folder of mask pictures of the same names, white is there.
        threshold: 1..255: rims are wholly there from this alpha on, else wholly gone; 0 leaves them.
        grow: pixels by which what is there grows; below 0 it shrinks.
        soften: radius of soft rims in pixels.
        box: part that is kept: left, top, right, bottom in pixels.
        as_mask: the copy is the mask for masked loss; what `alpha` says does not matter then.
        inverted: of a mask: black is learned.
        alpha: `pixels.KEEP`, `pixels.OPAQUE`, or the colour behind transparent parts.
        size: one of SIZES.
        size_wh: for LONGEST and SHORTEST its first number, for AREA as many pixels, for EXACT the size itself.
        enlarges: also what is smaller.
        plan: resolution and buckets, for TRAINED.
    """

    masks: Path | None = None
    threshold: int = 0
    grow: int = 0
    soften: float = 0
    box: Box | None = None
    as_mask: bool = False
    inverted: bool = False
    alpha: str = pixels.KEEP
    size: str = LEAVE
    size_wh: Size = (0, 0)
    enlarges: bool = False
    plan: DatasetPlan | None = None

    @property
    def is_nothing(self) -> bool:
        """True when copies would only be upright and in sRGB."""
        return replace(self, inverted=False, enlarges=False) == PictureSteps()


def change_of(steps: PictureSteps) -> FileChange:
    """The function that makes the steps, from a decoded picture and its file.

    Raises:
        UsageError: a number is out of range, there is no such colour or size.
        DataError: the folder of masks cannot be read.
    """
    made = [*_transparency(steps), *_part(steps), *_flattening(steps), *_sizing(steps)]

    def change(image: Image.Image, picture: Path) -> Image.Image:
        for step in made:
            image = step(image, picture)
        return image

    return change


def box_from(text: str, where: str) -> Box | None:
    """LEFT,TOP,RIGHT,BOTTOM in pixels; None for an empty text.

    Raises:
        UsageError: these are not four whole numbers.
    """
    if not text.strip():
        return None
    try:
        left, top, right, bottom = (int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            where=f"{where} {text}", what="These are not four whole numbers.", fix="Write 0,0,512,512."
        ) from error
    return left, top, right, bottom


def _transparency(steps: PictureSteps) -> list[FileChange]:
    made: list[FileChange] = []
    if steps.masks is not None:
        by_name = masks.masks_in(steps.masks)
        made.append(lambda image, picture: masks.restored(image, _mask_of(picture, by_name)))
    if steps.threshold:
        masks.check_threshold(steps.threshold)
        made.append(alone(lambda image: masks.clean_rims(image, steps.threshold)))
    if steps.grow or steps.soften:
        masks.check_growth(steps.grow)
        made.append(alone(lambda image: masks.reshaped(image, steps.grow, steps.soften)))
    return made


def _mask_of(picture: Path, by_name: dict[str, Path]) -> Image.Image:
    return open_upright(str(masks.mask_for(picture, by_name)))


def _part(steps: PictureSteps) -> list[FileChange]:
    box = steps.box
    return [] if box is None else [alone(lambda image: pixels.boxed(image, box))]


def _flattening(steps: PictureSteps) -> list[FileChange]:
    if steps.as_mask:
        return [alone(lambda image: masks.mask_picture(image, inverted=steps.inverted))]
    if steps.alpha == pixels.KEEP:
        return []
    if steps.alpha == pixels.OPAQUE:
        return [alone(pixels.opaque)]
    color = pixels.colour(steps.alpha, "alpha")
    return [alone(lambda image: pixels.flattened(image, color))]


def _sizing(steps: PictureSteps) -> list[FileChange]:
    if steps.size not in SIZES:
        raise UsageError(
            where=steps.size, what="There is no such change of the size.", fix=f"Write {', '.join(SIZES)}."
        )
    if steps.size == LEAVE:
        return []
    if steps.size == TRAINED:
        if steps.plan is None:
            raise UsageError(where=TRAINED, what="It needs the resolution of the training.", fix="--resolution 1024")
        crop = cropper(steps.plan)
        return [alone(lambda image: pixels.as_trained(image, crop(image.size)))]
    width, height = steps.size_wh
    if min(width, height) < 1:
        raise UsageError(where=f"{steps.size} {width}", what="A side has at least 1 pixel.")
    if steps.size == EXACT:
        return [alone(lambda image: pixels.exactly(image, (width, height)))]
    return [alone(lambda image: pixels.resized(image, _reached(steps, image.size)))]


def _reached(steps: PictureSteps, size_wh: Size) -> Size:
    width, height = steps.size_wh
    if steps.size == AREA:
        return pixels.area(size_wh, width * height, enlarges=steps.enlarges)
    side = pixels.longest_side if steps.size == LONGEST else pixels.shortest_side
    return side(size_wh, width, enlarges=steps.enlarges)
