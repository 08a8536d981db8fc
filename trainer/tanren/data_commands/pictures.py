"""`data resize`, `data mask`, `data condition`, `data pairs`: copies of pictures, masks, control pictures, pairs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from ..errors import UsageError
from ..formats.picture_pixels import open_upright
from ..paths import resolve_user_path
from ..preparation import masks, pixels
from ..preparation.conditioning import CANNY, KINDS, Conditioning, check_pairs, conditioned
from ..preparation.copies import SAME, CopyOutcome, alone, make_copies, plan_copies
from ..preparation.fitting import cropper
from ..preparation.levels import Level
from .common import (
    Progress,
    add_bucket_options,
    counted,
    journal,
    level_of,
    new_folder,
    parser_of,
    plan_of,
    raise_all,
    show,
    show_json,
    size_from,
    some,
)

FileChange = Callable[[Image.Image, Path], Image.Image]
SIZES = ("longest", "shortest", "area", "exact", "trained")
ALL_FORMATS = (SAME, *pixels.FORMATS)


def main(words: Sequence[str]) -> int:
    """Run one of the commands."""
    return {"resize": _resize, "mask": _mask, "condition": _condition, "pairs": _pairs}[words[0]](words[1:])


def _resize(words: Sequence[str]) -> int:
    parser = _parser("resize", "Make copies of pictures: upright, in sRGB, in another size or format.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--longest", type=int, metavar="PIXELS", help="reduce to this longer side")
    size.add_argument("--shortest", type=int, metavar="PIXELS", help="reduce to this shorter side")
    size.add_argument("--area", metavar="WIDTH,HEIGHT", help="reduce to about as many pixels in all")
    size.add_argument("--exact", metavar="WIDTH,HEIGHT", help="cover this size and crop the middle")
    size.add_argument("--trained", action="store_true", help="as training will do it; with the options of sizes below")
    parser.add_argument("--crop", metavar="LEFT,TOP,RIGHT,BOTTOM", help="first take this part, in pixels")
    parser.add_argument("--enlarge", action="store_true", help="also enlarge what is smaller")
    _add_alpha_options(parser)
    add_bucket_options(parser)
    chosen = parser.parse_args(words)
    steps = [*_crop_steps(chosen), *_alpha_steps(chosen), _size_step(chosen)]
    return _copy(chosen, level_of(chosen.folder), _one_after_the_other(steps), "resized pictures")


def _mask(words: Sequence[str]) -> int:
    parser = _parser("mask", "Clean transparency, bring it back from masks, or make masks for masked loss.")
    parser.add_argument(
        "--clean", type=int, metavar="ALPHA", help="no half-transparent rims: from ALPHA on all is there"
    )
    parser.add_argument(
        "--from-masks", metavar="FOLDER", help="alpha from mask pictures of the same names, white is there"
    )
    parser.add_argument("--grow", type=int, default=0, metavar="PIXELS", help="let what is there grow; below 0: shrink")
    parser.add_argument("--soften", type=float, default=0, metavar="PIXELS", help="soft rims")
    parser.add_argument("--to-masks", action="store_true", help="write masks for masked loss, white is learned")
    parser.add_argument("--invert", action="store_true", help="with --to-masks: black is learned")
    _add_alpha_options(parser)
    parser.epilog = "`data mask --model MODEL --help`: cut-outs and masks by a segmentation model."
    chosen = parser.parse_args(words)
    steps = _mask_steps(chosen)
    if not steps:
        raise UsageError(where="data mask", what="Nothing to do.", fix="Add --clean 128, --to-masks or --alpha white.")
    title = "masks" if chosen.to_masks else "pictures with cleaned transparency"
    chosen.no_captions |= chosen.to_masks
    return _copy(chosen, level_of(chosen.folder), _one_after_the_other(steps), title)


def _condition(words: Sequence[str]) -> int:
    parser = _parser("condition", "Make control pictures, one for each picture, for training a control network.")
    parser.add_argument("--kind", choices=tuple(KINDS), default=CANNY, help="what they show (canny)")
    parser.add_argument("--low", type=float, default=100, metavar="N", help="canny: slopes that continue an edge (100)")
    parser.add_argument("--high", type=float, default=200, metavar="N", help="canny: slopes that begin an edge (200)")
    parser.add_argument("--radius", type=float, default=0, metavar="PIXELS", help="blur, lineart: 0 fits the picture")
    parser.add_argument("--strength", type=float, default=8, metavar="N", help="lineart: how much lines are raised (8)")
    parser.epilog = "`data condition --model MODEL --help`: depth by a model."
    chosen = parser.parse_args(words)
    wanted = Conditioning(chosen.kind, chosen.low, chosen.high, chosen.radius, chosen.strength)
    chosen.no_captions = True
    return _copy(
        chosen, level_of(chosen.folder), alone(lambda image: conditioned(image, wanted)), f"{wanted.kind} pictures"
    )


def _pairs(words: Sequence[str]) -> int:
    parser = parser_of("pairs", "Check that every picture has exactly one control picture or mask of its name.")
    parser.add_argument("others", metavar="OTHERS", help="the folder of control pictures or masks")
    parser.add_argument("--json", action="store_true", help="for programs")
    chosen = parser.parse_args(words)
    folders = [resolve_user_path(text, "folder", where="FOLDER") for text in (chosen.folder, chosen.others)]
    check = check_pairs(*folders)
    if chosen.json:
        show_json({"pairs": check.pairs, "missing": check.missing, "surplus": check.surplus,
                   "other_shape": check.other_shape, "unreadable": check.unreadable})  # fmt: skip
        return 0 if check.is_complete else 3
    show(f"{counted(check.pairs, 'pair', 'pairs')}.")
    for names, what in (
        (check.missing, "without a partner"),
        (check.surplus, "in the second folder without a picture"),
        (check.other_shape, "of another shape than their picture"),
        (check.unreadable, "that cannot be read, or whose partner cannot"),
    ):
        if names:
            show(f"{len(names)} {what}: {some(names)}")
    return 0 if check.is_complete else 3


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = parser_of(name, f"{description} The pictures themselves stay; `data undo` removes the copies.")
    parser.add_argument("out", metavar="OUT", help="the folder for the copies, which need not exist")
    parser.add_argument("--format", choices=ALL_FORMATS, default=None, help="of the copies")
    parser.add_argument("--quality", type=int, default=95, metavar="N", help="of JPEG and WebP, 1 to 100 (95)")
    parser.add_argument("--no-captions", action="store_true", help="do not copy the captions along")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be made")
    return parser


def _add_alpha_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--alpha",
        metavar="WHAT",
        default=pixels.KEEP,
        help="of transparent parts: keep (the default), white, black or #rrggbb to put a colour behind them, "
        "opaque to show the colours hidden there",
    )


def _crop_steps(chosen: argparse.Namespace) -> list[FileChange]:
    if not chosen.crop:
        return []
    try:
        left, top, right, bottom = (int(part) for part in chosen.crop.split(","))
    except ValueError as error:
        raise UsageError(
            where=f"--crop {chosen.crop}", what="These are not four whole numbers.", fix="--crop 0,0,512,512"
        ) from error
    return [alone(lambda image: pixels.boxed(image, (left, top, right, bottom)))]


def _alpha_steps(chosen: argparse.Namespace) -> list[FileChange]:
    if chosen.alpha == pixels.KEEP:
        return []
    if chosen.alpha == pixels.OPAQUE:
        return [alone(pixels.opaque)]
    color = pixels.colour(chosen.alpha, "--alpha")
    return [alone(lambda image: pixels.flattened(image, color))]


def _size_step(chosen: argparse.Namespace) -> FileChange:
    enlarges = chosen.enlarge
    for name in ("longest", "shortest"):
        side = getattr(chosen, name)
        if side is not None and side < 1:
            raise UsageError(where=f"--{name} {side}", what="A side has at least 1 pixel.")
    if chosen.longest:
        return alone(lambda one: pixels.resized(one, pixels.longest_side(one.size, chosen.longest, enlarges=enlarges)))
    if chosen.shortest:
        return alone(
            lambda one: pixels.resized(one, pixels.shortest_side(one.size, chosen.shortest, enlarges=enlarges))
        )
    if chosen.area:
        width, height = size_from(chosen.area, "--area")
        return alone(lambda one: pixels.resized(one, pixels.area(one.size, width * height, enlarges=enlarges)))
    if chosen.exact:
        size = size_from(chosen.exact, "--exact")
        return alone(lambda one: pixels.exactly(one, size))
    if chosen.trained:
        plan = plan_of(chosen)
        if plan is None:
            raise UsageError(
                where="--trained", what="It needs the resolution of the training.", fix="--resolution 1024"
            )
        crop = cropper(plan)
        return alone(lambda one: pixels.as_trained(one, crop(one.size)))
    return alone(lambda one: one)


def _mask_steps(chosen: argparse.Namespace) -> list[FileChange]:
    steps: list[FileChange] = []
    if chosen.from_masks:
        steps.append(_restoring(resolve_user_path(chosen.from_masks, "folder", where="--from-masks")))
    if chosen.clean is not None:
        steps.append(alone(lambda image: masks.clean_rims(image, chosen.clean)))
    if chosen.grow or chosen.soften:
        steps.append(alone(lambda image: _reshaped(image, chosen.grow, chosen.soften)))
    if chosen.to_masks:
        return [*steps, alone(lambda image: masks.mask_picture(image, inverted=chosen.invert))]
    return [*steps, *_alpha_steps(chosen)]


def _restoring(folder: Path) -> FileChange:
    by_name = masks.masks_in(folder)
    return lambda image, picture: masks.restored(image, open_upright(str(masks.mask_for(picture, by_name))))


def _reshaped(image: Image.Image, grow: int, soften: float) -> Image.Image:
    if not pixels.has_alpha(image):
        return image
    return masks.with_alpha(image, masks.softened(masks.grown(image.getchannel("A"), grow), soften))


def _one_after_the_other(steps: Sequence[FileChange]) -> FileChange:
    def change(image: Image.Image, picture: Path) -> Image.Image:
        for step in steps:
            image = step(image, picture)
        return image

    return change


def _copy(chosen: argparse.Namespace, level: Level, change: FileChange, title: str) -> int:
    if not 1 <= chosen.quality <= 100:
        raise UsageError(where=f"--quality {chosen.quality}", what="Quality goes from 1 to 100.")
    out = new_folder(chosen.out, "OUT")
    # Masks and control pictures must not get the artefacts of JPEG.
    format_name = chosen.format or (SAME if title.startswith(("resized", "pictures")) else "png")
    copies = plan_copies(level, out, format_name=format_name, with_captions=not chosen.no_captions)
    if chosen.dry_run:
        names = [one.target.name for one in copies]
        show(f"{counted(len(copies), 'copy', 'copies')} would be made in {out}: {some(names)}")
        return 0
    outcome = make_copies(
        copies, change, journal(), title=title, out=out, quality=chosen.quality, progress=Progress(title)
    )
    _show_outcome(outcome, out, title)
    raise_all(outcome.problems)
    return 0


def _show_outcome(outcome: CopyOutcome, out: Path, title: str) -> None:
    show(f"{len(outcome.made)} {title} made in {out}.")
    if outcome.there:
        show(f"{len(outcome.there)} were there already and were left alone.")
    if outcome.made:
        show("`data undo` removes them.")
