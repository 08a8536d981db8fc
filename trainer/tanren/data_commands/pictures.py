"""`data resize`, `data mask`, `data condition`, `data pairs`: copies of pictures, masks, control pictures, pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..paths import resolve_user_path
from ..preparation import pixels
from ..preparation.conditioning import CANNY, KINDS, Conditioning, check_pairs, conditioned
from ..preparation.copies import SAME, CopyOutcome, alone, make_copies, plan_copies
from ..preparation.levels import Level
from ..preparation.picture_steps import (
    AREA,
    EXACT,
    LONGEST,
    SHORTEST,
    TRAINED,
    FileChange,
    PictureSteps,
    box_from,
    change_of,
)
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
    parser.add_argument("--crop", default="", metavar="LEFT,TOP,RIGHT,BOTTOM", help="first take this part, in pixels")
    parser.add_argument("--enlarge", action="store_true", help="also enlarge what is smaller")
    _add_alpha_options(parser)
    add_bucket_options(parser)
    chosen = parser.parse_args(words)
    steps = PictureSteps(
        box=box_from(chosen.crop, "--crop"), alpha=chosen.alpha, enlarges=chosen.enlarge, **_sized(chosen)
    )
    return _copy(chosen, level_of(chosen.folder), change_of(steps), "resized pictures")


def _mask(words: Sequence[str]) -> int:
    parser = _parser("mask", "Clean transparency, bring it back from masks, or make masks for masked loss.")
    parser.add_argument(
        "--clean", type=int, default=0, metavar="ALPHA", help="no half-transparent rims: from ALPHA on all is there"
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
    steps = PictureSteps(
        masks=resolve_user_path(chosen.from_masks, "folder", where="--from-masks") if chosen.from_masks else None,
        threshold=chosen.clean,
        grow=chosen.grow,
        soften=chosen.soften,
        as_mask=chosen.to_masks,
        inverted=chosen.invert,
        alpha=chosen.alpha,
    )
    if steps.is_nothing:
        raise UsageError(where="data mask", what="Nothing to do.", fix="Add --clean 128, --to-masks or --alpha white.")
    title = "masks" if chosen.to_masks else "pictures with cleaned transparency"
    chosen.no_captions |= chosen.to_masks
    return _copy(chosen, level_of(chosen.folder), change_of(steps), title)


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


def _sized(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the flags of sizes say, as `PictureSteps` has it."""
    for name in (LONGEST, SHORTEST):
        side = getattr(chosen, name)
        if side is not None:
            return {"size": name, "size_wh": (side, side)}
    for name in (AREA, EXACT):
        text = getattr(chosen, name)
        if text:
            return {"size": name, "size_wh": size_from(text, f"--{name}")}
    return {"size": TRAINED, "plan": plan_of(chosen)} if chosen.trained else {}


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
