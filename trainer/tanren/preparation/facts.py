"""What is known of one picture: its header, its caption, and, once it was decoded, how it looks.

Near-duplicates: the upright picture is put on white, made grey and reduced to 9x9 by averages over areas; a bit says
for each of 8x8 places whether the right neighbour is brighter by more than 3 of 255, and 64 more the same for the one
below. Two pictures look alike when at most 10 of the 128 bits differ: another size, another compression or a slightly
other brightness, but not another pose. Pictures without any edge have no bits and are compared by their bytes alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from ..errors import DataError
from ..formats.captions import caption_names
from ..formats.clip_tokens import count_tokens
from ..formats.picture_header import SUFFIXES as PICTURE_SUFFIXES
from ..formats.picture_header import PictureHeader, PictureLimits, check_limits, read_header
from ..formats.picture_pixels import open_upright
from .caption_files import AUTO, SUFFIXES, CaptionFile, read_caption_file

LIMITS = PictureLimits()
SIDE = 8
EDGE = 3
DRAFT_WH = (256, 256)
OPAQUE = 255
WHITE = (255, 255, 255, 255)
SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


# A folder may have a hundred thousand of these; without slots each takes 150 bytes more.
@dataclass(frozen=True, slots=True)
class CaptionFacts:
    """The caption file of a picture.

    Args:
        name: of the file; empty when there is none.
        text: its first line, which is what training uses.
        lines: lines that are not blank.
        encoding: as in `CaptionFile`.
        problem: why it cannot be read.
        tokens: of the first line, without those that mark the ends.
        others: caption files with another suffix beside it.
    """

    name: str = ""
    text: str = ""
    lines: int = 0
    encoding: str = "utf-8"
    problem: str = ""
    tokens: int = 0
    others: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        """Of the file, with the dot."""
        return f".{self.name.rpartition('.')[2].lower()}" if self.name else ""

    @property
    def is_filled(self) -> bool:
        """True when it says something."""
        return bool(self.text)


@dataclass(frozen=True, slots=True)
class LookFacts:
    """What decoding a picture tells.

    Args:
        look: 128 bits as 32 hex digits; empty when it has no edges.
        is_transparent: some of it can be seen through.
        problem: why it cannot be decoded; empty when it can.
    """

    look: str = ""
    is_transparent: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One row of the overview.

    Args:
        folder, name: where it is.
        file_bytes: size of the file.
        modified_ns: time of its last change.
        kind: Pillow's name of the format; empty when it cannot be read.
        width, height: pixels, upright.
        orientation: EXIF orientation 1..8; above 1 the pixels are stored turned.
        has_alpha: there is room for transparency.
        is_animated: it has several frames.
        problem: why it cannot be used; empty when it can.
        caption: its caption file.
        look: what decoding told; None when it was not decoded yet.
    """

    folder: str
    name: str
    file_bytes: int
    modified_ns: int
    kind: str
    width: int
    height: int
    orientation: int
    has_alpha: bool
    is_animated: bool
    problem: str
    caption: CaptionFacts
    look: LookFacts | None = None

    @property
    def path(self) -> str:
        """The picture file."""
        return f"{self.folder}{os.sep}{self.name}"

    @property
    def fault(self) -> str:
        """Why it cannot be used, as far as is known; empty when nothing is."""
        return self.problem or (self.look.problem if self.look else "")

    @property
    def is_transparent(self) -> bool:
        """As far as is known: really, when it was decoded, else whether there is room for it."""
        return self.has_alpha if self.look is None else self.look.is_transparent

    @property
    def is_rotated(self) -> bool:
        """True when the pixels are stored turned or mirrored."""
        return self.orientation > 1

    @property
    def has_other_suffix(self) -> bool:
        """True when the suffix is that of another kind of picture."""
        return bool(self.kind) and not self.name.lower().endswith(PICTURE_SUFFIXES.get(self.kind, ("",)))


def header_facts(folder: str, name: str, status: os.stat_result, caption: CaptionFacts) -> PictureFacts:
    """The row of a picture from its header alone."""
    path = f"{folder}{os.sep}{name}"
    header, problem = PictureHeader("", (0, 0)), ""
    try:
        header = read_header(path)
        check_limits(header.size_wh, LIMITS, path)
    except DataError as error:
        problem = f"{error.what} {error.why}".strip()
    except OSError as error:
        problem = f"The picture cannot be read. The system says: {error.strerror or error}."
    return PictureFacts(
        folder=folder,
        name=name,
        file_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        kind=header.format,
        width=header.size_wh[0],
        height=header.size_wh[1],
        orientation=header.orientation,
        has_alpha=header.has_alpha,
        is_animated=header.is_animated,
        problem=problem,
        caption=caption,
    )


def caption_names_of(stem: str, first: str) -> list[str]:
    """Names that a picture's caption file may have, best first; `first` is the suffix that goes before the others."""
    suffixes = dict.fromkeys((first, *SUFFIXES))
    return [name for suffix in suffixes for name in caption_names(stem, suffix)]


def caption_facts(path: str, others: tuple[str, ...] = (), encoding: str = AUTO) -> CaptionFacts:
    """The facts of a caption file; `others` as in `CaptionFacts`, `encoding` as in `read_caption_file`."""
    try:
        file = read_caption_file(Path(path), encoding)
    except OSError as error:
        return CaptionFacts(Path(path).name, problem=f"The system says: {error.strerror or error}.", others=others)
    return facts_of_caption(file, others)


def facts_of_caption(file: CaptionFile, others: tuple[str, ...] = ()) -> CaptionFacts:
    """The facts of a caption file that was read."""
    lines = file.lines
    first = lines[0] if lines else ""
    return CaptionFacts(file.path.name, first, len(lines), file.encoding, file.problem, _tokens(first), others)


def look_facts(path: str) -> LookFacts:
    """Decode a picture and say how it looks."""
    try:
        # JPEG files can be decoded at a fraction of their size, which takes a fraction of the time.
        image = open_upright(path, LIMITS, draft_wh=DRAFT_WH)
    except DataError as error:
        return LookFacts(problem=f"{error.what} {error.why}".strip())
    except OSError as error:
        return LookFacts(problem=f"The picture cannot be read. The system says: {error.strerror or error}.")
    return LookFacts(look_of(image), _is_transparent(image))


def look_of(image: Image.Image) -> str:
    """The 128 bits of a decoded picture, as 32 hex digits; empty when none is set."""
    grey = _small_grey(image)
    bits = 0
    for row in range(SIDE):
        for column in range(SIDE):
            here = grey[row * (SIDE + 1) + column]
            right = grey[row * (SIDE + 1) + column + 1]
            below = grey[(row + 1) * (SIDE + 1) + column]
            bits = bits << 2 | (right > here + EDGE) << 1 | (below > here + EDGE)
    return f"{bits:032x}" if bits else ""


def _small_grey(image: Image.Image) -> bytes:
    if image.mode in SIXTEEN_BIT:
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    elif image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        upright = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", upright.size, WHITE), upright)
    return image.convert("L").resize((SIDE + 1, SIDE + 1), Image.Resampling.BOX).tobytes()


def _is_transparent(image: Image.Image) -> bool:
    if "A" in image.getbands():
        alpha = image.getchannel("A")
    elif "transparency" in image.info:
        alpha = image.convert("RGBA").getchannel("A")
    else:
        return False
    return any(alpha.histogram()[:OPAQUE])


@lru_cache(maxsize=10_000)
def _tokens(text: str) -> int:
    return count_tokens(text)
