"""Control pictures by simple filters: Canny's edges, blur, grey, line art; and whether pairs are complete.

All are of the size of their picture. Edges and lines are white on black, as ControlNets expect them. Canny needs numpy,
which the trainer's environment and every WebUI have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter

from ..data.listing import folded, list_folder, stem_of
from ..errors import EnvironmentProblem, Problems, UsageError, UserError
from ..formats.picture_header import read_header
from .pixels import flattened

CANNY, BLUR, GREY, LINES = "canny", "blur", "grey", "lineart"
WHITE = (255, 255, 255)
WIDER = 1.6


@dataclass(frozen=True)
class Conditioning:
    """What is made of a picture.

    Args:
        kind: a key of KINDS.
        low, high: slopes of CANNY: above `high` an edge begins, above `low` it goes on; 0..1020 in each channel.
        radius: of BLUR, and half the width of a line of LINES, in pixels.
        strength: of LINES: how much a weak line is raised.
    """

    kind: str = CANNY
    low: float = 100
    high: float = 200
    radius: float = 0
    strength: float = 8


@dataclass(frozen=True)
class PairCheck:
    """Pictures and their control (or mask) pictures.

    Args:
        pairs: pictures that have one.
        missing: pictures that have none.
        surplus: control pictures without a picture.
        other_shape: control pictures of another shape than their picture.
        unreadable: files whose size cannot be read.
    """

    pairs: int
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    other_shape: tuple[str, ...]
    unreadable: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """True when every picture has exactly one and nothing is left over."""
        return self.pairs > 0 and not (self.missing or self.surplus or self.other_shape or self.unreadable)


def conditioned(image: Image.Image, wanted: Conditioning) -> Image.Image:
    """The control picture of a picture, of its size.

    Args:
        image: 8-bit, as `pixels.in_eight_bits` makes it; transparent parts count as white.

    Raises:
        UsageError: there is no such kind, or a number is out of range.
        EnvironmentProblem: Canny without numpy.
    """
    if wanted.kind not in KINDS:
        raise UsageError(
            where=wanted.kind, what="There is no such kind of control picture.", fix=f"Kinds: {', '.join(KINDS)}."
        )
    if not (0 <= wanted.radius <= 200 and 0 <= wanted.strength <= 100 and min(wanted.low, wanted.high) >= 0):
        raise UsageError(
            where=wanted.kind,
            what="A number is out of range.",
            fix="radius 0..200, strength 0..100, low and high from 0 on.",
        )
    return KINDS[wanted.kind](flattened(image, WHITE), wanted)


def check_pairs(pictures: Path, others: Path) -> PairCheck:
    """Compare two folders by the names of their files, suffixes and capitals aside.

    Raises:
        DataError: one of the folders cannot be read.
    """
    problems = Problems()
    wanted, found = (list_folder(str(folder), problems) for folder in (pictures, others))
    problems.raise_if_any()
    by_stem = {folded(stem_of(name)): name for name in found.pictures}
    missing, other_shape, unreadable = [], [], []
    used: set[str] = set()
    for name in wanted.pictures:
        other = by_stem.get(folded(stem_of(name)))
        if other is None:
            missing.append(name)
            continue
        used.add(other)
        same = _has_same_shape(pictures / name, others / other)
        if same is None:
            unreadable.append(name)
        elif not same:
            other_shape.append(other)
    surplus = [name for name in found.pictures if name not in used]
    return PairCheck(len(used), tuple(missing), tuple(surplus), tuple(other_shape), tuple(unreadable))


def _has_same_shape(first: Path, second: Path) -> bool | None:
    try:
        (width, height), (other_width, other_height) = (read_header(str(path)).size_wh for path in (first, second))
    except (UserError, OSError):
        return None
    # Programs round in their own ways when they resize: a pixel more or less is the same shape.
    return abs(width * other_height / other_width - height) <= max(1.0, height / other_height)


def _canny(image: Image.Image, wanted: Conditioning) -> Image.Image:
    try:
        # Imported here: the other kinds, and the page, do without numpy.
        import numpy as np

        from ..data.edges import canny
    except ImportError as error:
        raise EnvironmentProblem(
            where=CANNY,
            what="Edges are found with numpy, which this Python does not have.",
            fix="Make the trainer's environment first: python launch.py setup.",
        ) from error
    return Image.fromarray(canny(np.asarray(image), wanted.low, wanted.high))


def _blurred(image: Image.Image, wanted: Conditioning) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(wanted.radius or max(image.size) / 64))


def _grey(image: Image.Image, wanted: Conditioning) -> Image.Image:
    return image.convert("L")


def _lines(image: Image.Image, wanted: Conditioning) -> Image.Image:
    """Where the picture is darker than its near surroundings: drawn lines, and rims of shadows."""
    grey = image.convert("L")
    radius = wanted.radius or max(1.0, max(image.size) / 512)
    near, far = (grey.filter(ImageFilter.GaussianBlur(size)) for size in (radius, radius * WIDER))
    darker = ImageChops.subtract(far, near)
    return darker.point([min(255, round(value * wanted.strength)) for value in range(256)])


KINDS: dict[str, Callable[[Image.Image, Conditioning], Image.Image]] = {
    CANNY: _canny,
    BLUR: _blurred,
    GREY: _grey,
    LINES: _lines,
}
