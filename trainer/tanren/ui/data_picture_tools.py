"""The tools for pictures: copies in another size, with cleaned transparency, masks, control pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UsageError, UserError
from ..formats.picture_pixels import open_upright
from ..options.values import size_wh
from ..preparation import picture_steps, pixels
from ..preparation.conditioning import BLUR, CANNY, GREY, LINES, Conditioning, conditioned
from ..preparation.copies import SAME, alone
from ..preparation.picture_steps import PictureSteps, change_of
from .data_prepared import PreparedCopies, copies_of, known_folder
from .data_tool import CHOICE, COLOUR, FLAG, FOLDER, NUMBER, SLIDER, Field, Group, Request, Tool

Values = Mapping[str, Any]
OTHER_COLOUR = "colour"
# In the list of changes.
TITLES = {CANNY: "edge pictures", BLUR: "blurred pictures", GREY: "grey pictures", LINES: "pictures as line art"}

OUT = Field("out", "Folder for the copies", FOLDER, is_required=True, help="The pictures themselves stay as they are.")
FORMAT = Field(
    "format",
    "File format of the copies",
    CHOICE,
    SAME,
    ((SAME, "as the pictures are"), ("png", "PNG files"), ("jpg", "JPEG files"), ("webp", "WebP files")),
)
# Masks and control pictures must not get the artefacts of JPEG unless that is asked for.
EXACT_FORMAT = replace(FORMAT, value="png", is_more=True)
QUALITY = Field(
    "quality",
    "Quality of JPEG and WebP",
    NUMBER,
    95,
    minimum=1,
    maximum=100,
    step=1,
    help="100 is WebP without any loss.",
    is_more=True,
)
ALPHA = Field(
    "alpha",
    "Transparent parts",
    CHOICE,
    pixels.KEEP,
    (
        (pixels.KEEP, "stay transparent"),
        ("white", "become white"),
        ("black", "become black"),
        ("#808080", "become grey"),
        (OTHER_COLOUR, "become the colour below"),
        (pixels.OPAQUE, "show the colours behind them"),
    ),
)
OWN_COLOUR = Field("colour", "Colour for transparent parts", COLOUR, "#8090a0", is_more=True)
CAPTIONS = Field("captions", "Copy the captions along", FLAG, True)
THRESHOLD = Field(
    "threshold",
    "Least opacity that stays",
    SLIDER,
    128,
    minimum=0,
    maximum=255,
    step=1,
    help="From here on all is there, below nothing; 0 leaves rims as they are.",
)
GROW = Field("grow", "Let what is there grow, in pixels", NUMBER, 0, minimum=-100, maximum=100, step=1)
SOFTEN = Field("soften", "Soft rims, in pixels", NUMBER, 0, minimum=0, maximum=100, step=0.5)
MASK_FOLDER = Field("masks", "Folder of mask pictures", FOLDER, help="Of the same names, white is there; may be empty.")


def groups() -> tuple[Group, ...]:
    """All of them, as the page shows them."""
    return (Group("Copies of pictures", (RESIZE, CLEAN, MASKS)), Group("Control pictures", CONTROLS))


def _alpha(values: Values) -> str:
    wanted = str(values["alpha"])
    return str(values["colour"]) if wanted == OTHER_COLOUR else wanted


def _resize(request: Request) -> PreparedCopies:
    values = request.values
    how = str(values["how"])
    size = (0, 0)
    if how not in (picture_steps.LEAVE, picture_steps.TRAINED):
        try:
            size = size_wh(str(values["size"]))
        except ValueError as error:
            raise UsageError(where="size", what=str(error)) from None
    steps = PictureSteps(
        box=picture_steps.box_from(str(values["box"]), "box"),
        alpha=_alpha(values),
        size=how,
        size_wh=size,
        enlarges=bool(values["enlarge"]),
        plan=request.plan,
    )
    return _copies(request, "resized pictures", steps, captions=bool(values["captions"]))


def _clean(request: Request) -> PreparedCopies:
    steps = replace(_transparency(request), alpha=_alpha(request.values))
    return _copies(request, "pictures with cleaned transparency", steps, captions=bool(request.values["captions"]))


def _masks(request: Request) -> PreparedCopies:
    steps = replace(_transparency(request), as_mask=True, inverted=bool(request.values["invert"]))
    prepared = _copies(request, "mask pictures", steps, captions=False)
    if request.values["all"] or steps.masks is not None:
        return prepared
    # Most folders mix pictures with and without transparency; only the first have a mask in them.
    return replace(prepared, copies=[copy for copy in prepared.copies if _is_transparent(copy.picture)])


def _transparency(request: Request) -> PictureSteps:
    """The steps that transparency goes through, as the questions ask for them."""
    values = request.values
    return PictureSteps(
        masks=known_folder(request, "masks") if str(values["masks"]).strip() else None,
        threshold=int(values["threshold"]),
        grow=int(values["grow"]),
        soften=float(values["soften"]),
    )


def _copies(request: Request, title: str, steps: PictureSteps, *, captions: bool) -> PreparedCopies:
    values = request.values
    return copies_of(
        request,
        title,
        change_of(steps),
        str(values["format"]),
        captions=captions,
        quality=int(values["quality"]),
    )


def _is_transparent(picture: Path) -> bool:
    try:
        return pixels.has_alpha(pixels.in_eight_bits(open_upright(str(picture))))
    except (UserError, OSError):
        return False


def _control(kind: str, about: Callable[[Values], Conditioning]) -> Callable[[Request], PreparedCopies]:
    def prepare(request: Request) -> PreparedCopies:
        wanted, values = about(request.values), request.values
        change = alone(lambda image: conditioned(image, wanted))
        format_name, quality = str(values["format"]), int(values["quality"])
        return copies_of(request, TITLES[kind], change, format_name, captions=False, quality=quality)

    return prepare


RESIZE = Tool(
    "resize",
    "Resize, crop and convert",
    "Copies in another size or format, upright and in sRGB.",
    (
        OUT,
        Field(
            "how",
            "Change of the size",
            CHOICE,
            picture_steps.LONGEST,
            (
                (picture_steps.LONGEST, "longer side at most"),
                (picture_steps.SHORTEST, "shorter side at most"),
                (picture_steps.AREA, "about as many pixels as"),
                (picture_steps.EXACT, "exactly, the middle is cut out"),
                (picture_steps.TRAINED, "as training will see them"),
                (picture_steps.LEAVE, "leave the size"),
            ),
        ),
        Field("size", "Size in pixels", value="1024", help="One number, or WIDTH,HEIGHT."),
        Field("enlarge", "Also enlarge what is smaller", FLAG, False),
        FORMAT,
        ALPHA,
        CAPTIONS,
        Field("box", "First take only this part", help="LEFT,TOP,RIGHT,BOTTOM in pixels.", is_more=True),
        OWN_COLOUR,
        QUALITY,
    ),
    _resize,
    has_sample=True,
)
CLEAN = Tool(
    "clean",
    "Clean transparency",
    "Copies without half-transparent rims, or with the transparency that mask pictures say.",
    (OUT, THRESHOLD, GROW, SOFTEN, MASK_FOLDER, ALPHA, CAPTIONS, OWN_COLOUR, FORMAT, QUALITY),
    _clean,
    has_sample=True,
    shows="transparent",
)
MASKS = Tool(
    "masks",
    "Masks for masked loss",
    "Grey pictures of what can be seen: white is learned, black is not.",
    (
        OUT,
        Field("invert", "Black is learned instead", FLAG, False),
        Field("all", "White masks for pictures without transparency, too", FLAG, False),
        replace(THRESHOLD, value=0),
        replace(GROW, is_more=True),
        replace(SOFTEN, is_more=True),
        replace(MASK_FOLDER, is_more=True),
        EXACT_FORMAT,
        QUALITY,
    ),
    _masks,
    has_sample=True,
    shows="transparent",
)
SLOPE = "Slopes are counted from 0 to 1020."
FIT = "0 fits the size of the picture."
CONTROLS = (
    Tool(
        "canny",
        "Edges (Canny)",
        "White edges on black, as ControlNets for Canny expect them.",
        (
            OUT,
            Field("low", "Slope that continues an edge", SLIDER, 100, minimum=0, maximum=500, step=5, help=SLOPE),
            Field("high", "Slope that begins an edge", SLIDER, 200, minimum=0, maximum=500, step=5),
            EXACT_FORMAT,
            QUALITY,
        ),
        _control(CANNY, lambda values: Conditioning(CANNY, float(values["low"]), float(values["high"]))),
        has_sample=True,
    ),
    Tool(
        "blur",
        "Blurred pictures",
        "Shapes and colours without details.",
        (
            OUT,
            Field("radius", "Radius in pixels", SLIDER, 8, minimum=0, maximum=100, step=1, help=FIT),
            EXACT_FORMAT,
            QUALITY,
        ),
        _control(BLUR, lambda values: Conditioning(BLUR, radius=float(values["radius"]))),
        has_sample=True,
    ),
    Tool(
        "grey",
        "Grey pictures",
        "Pictures without their colours.",
        (OUT, EXACT_FORMAT, QUALITY),
        _control(GREY, lambda values: Conditioning(GREY)),
        has_sample=True,
    ),
    Tool(
        "lines",
        "Line art",
        "White lines where the picture is darker than around.",
        (
            OUT,
            Field("strength", "Strength of the lines", SLIDER, 8, minimum=1, maximum=40, step=1),
            Field("radius", "Half the width of a line", SLIDER, 0, minimum=0, maximum=20, step=0.5, help=FIT),
            EXACT_FORMAT,
            QUALITY,
        ),
        _control(
            LINES,
            lambda values: Conditioning(LINES, radius=float(values["radius"]), strength=float(values["strength"])),
        ),
        has_sample=True,
    ),
)
