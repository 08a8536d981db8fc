"""The words of each tool, as flags with help, made into requests. Light: help works before there is an environment."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError
from ..options.values import size_wh
from ..paths import check_created_name, resolve_user_path
from .requests import (
    DepthRequest,
    DescribeRequest,
    FacesRequest,
    MaskRequest,
    RegularizeRequest,
    TagRequest,
    WritingRules,
)
from .tag_choice import MODES, ORDERS, RATINGS, TagRules

DEVICES = ("auto", "cpu", "cuda")
COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}
# What needs onnxruntime, which is installed on first use.
WITH_ONNX = frozenset(("tag", "mask", "condition", "faces"))


@dataclass(frozen=True)
class Asked:
    """What the words say.

    Args:
        request: one of `requests`.
        events: tell it in JSON lines on the standard output.
        stop_file: the run ends politely once this file is there.
    """

    tool: str
    request: Any
    events: bool
    stop_file: Path | None


@dataclass(frozen=True)
class Tool:
    """One tool: its summary, its flags, and how they become a request."""

    summary: str
    add: Callable[[argparse.ArgumentParser], None]
    read: Callable[[argparse.Namespace], Any]


def read(words: Sequence[str]) -> Asked:
    """What the words ask for.

    Raises:
        UsageError: they do not fit together, or a path is not there.
        SystemExit: argparse has shown help, or what it does not understand.
    """
    parser = argparse.ArgumentParser(prog="data", description="What models can do for a data set.")
    tools = parser.add_subparsers(dest="tool", required=True, metavar="TOOL")
    for name, tool in TOOLS.items():
        own = tools.add_parser(name, help=tool.summary, description=tool.summary[:1].upper() + tool.summary[1:] + ".")
        tool.add(own)
        own.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
        own.add_argument("--device", choices=DEVICES, default="auto", help="where the model runs")
        own.add_argument("--events", action="store_true", help="tell what happens as lines of JSON")
        own.add_argument("--stop-file", metavar="FILE", help="stop politely once this file is there")
    chosen = parser.parse_args(list(map(_with_hyphens, words)))
    stop = Path(chosen.stop_file) if chosen.stop_file else None
    return Asked(chosen.tool, TOOLS[chosen.tool].read(chosen), chosen.events, stop)


def _with_hyphens(word: str) -> str:
    """Flags may be written as kohya writes them."""
    name, equals, value = word.partition("=")
    return (name.replace("_", "-") if re.fullmatch(r"--\w[\w-]*", name) else name) + equals + value


def _add_folder(parser: argparse.ArgumentParser, model: str, *, needs_model: bool = True, out: str = "") -> None:
    parser.add_argument("folder", metavar="FOLDER", help="folder of pictures")
    if out:
        parser.add_argument("out", metavar="OUT", help=out)
    parser.add_argument("--recursive", action="store_true", help="and the folders below it")
    parser.add_argument("--only", metavar="FILE", help='of these only the pictures in a JSON list of paths: ["a.png"]')
    parser.add_argument("--model", required=needs_model, default="", help=model)
    parser.add_argument("--download", action="store_true", help="fetch a hub model that is not on this machine yet")


def _add_captions(parser: argparse.ArgumentParser, batch_size: int) -> None:
    parser.add_argument(
        "--mode", choices=MODES, default="fill", help="only empty captions (fill), add to captions, or replace them"
    )
    parser.add_argument("--batch-size", type=int, default=batch_size, metavar="N", help="pictures at once")
    parser.add_argument("--caption-extension", default=".txt", metavar=".EXT", help="of caption files (.txt)")


def _add_tag(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser, "folder with model.onnx and selected_tags.csv, or a hub id")
    _add_captions(parser, 8)
    parser.add_argument("--threshold", type=float, default=0.35, help="least certainty of a tag (0.35)")
    parser.add_argument("--general-threshold", type=float, help="the same for general tags only")
    parser.add_argument("--character-threshold", type=float, help="the same for characters only")
    parser.add_argument("--exclude", default="", metavar="TAGS", help="tags never to take, by comma")
    parser.add_argument("--first", default="", metavar="TAGS", help="tags that open every caption, by comma")
    parser.add_argument("--order", choices=ORDERS, default="score", help="by certainty, as in the model, or by name")
    parser.add_argument("--characters-first", action="store_true", help="characters before all other tags")
    parser.add_argument("--rating", choices=RATINGS, default="none", help="where the rating goes")
    parser.add_argument("--keep-underscores", action="store_true", help="long_hair, not long hair")
    parser.add_argument("--escape-brackets", action="store_true", help=r"\( and \), as prompts have them")
    parser.add_argument("--separator", default=", ", help="between tags")


def _add_describe(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser, "folder of a BLIP, GIT, BLIP-2, Florence-2 or chat model, or a hub id")
    _add_captions(parser, 1)
    parser.add_argument("--prompt", default="", help="begins the caption (BLIP, GIT), or is the question (others)")
    parser.add_argument("--prefix", default="", help="opens every caption, such as the trigger word")
    parser.add_argument("--min-tokens", type=int, default=5, metavar="N", help="shortest caption (5)")
    parser.add_argument("--max-tokens", type=int, default=75, metavar="N", help="longest caption (75)")
    parser.add_argument("--beams", type=int, default=3, metavar="N", help="ways followed at once; 1 is fastest (3)")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, help="above 1: less repetition")
    parser.add_argument("--precision", choices=("auto", "fp32", "fp16", "bf16"), default="auto", help="of the model")


def _add_mask(parser: argparse.ArgumentParser) -> None:
    _add_folder(
        parser,
        "ONNX segmentation model: U²-Net, ISNet, BiRefNet …",
        out="folder for the copies; masks may go to FOLDER itself, as <name>-masklabel.png",
    )
    parser.add_argument("--kind", default="auto", help="how it wants its input; auto: told by its name")
    parser.add_argument(
        "--result", choices=("alpha", "flat", "mask"), default="alpha", help="transparent, on a colour, or masks"
    )
    parser.add_argument("--background", default="white", help="colour of flat: white, black, grey or RRGGBB")
    parser.add_argument("--no-captions", action="store_true", help="do not copy captions along")


def _add_condition(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser, "ONNX depth model: MiDaS, DPT or Depth Anything", out="folder for the depth pictures")
    parser.add_argument("--kind", default="auto", help="how it wants its input; auto: told by its name")
    parser.add_argument("--far-is-bright", action="store_true", help="instead of near")


def _add_faces(parser: argparse.ArgumentParser) -> None:
    _add_folder(parser, "ONNX face detector in the layout of YOLOv8", needs_model=False, out="folder for the crops")
    parser.add_argument("--boxes", metavar="FILE", help='instead: JSON {"picture.png": [[x, y, width, height]]}')
    parser.add_argument("--threshold", type=float, default=0.5, help="least certainty of a face (0.5)")
    parser.add_argument("--margin", type=float, default=2.0, help="crop this many times the face's size (2)")
    parser.add_argument("--square", action="store_true", help="crops as high as wide")
    parser.add_argument("--smallest", type=int, default=64, metavar="PIXELS", help="leave smaller crops out (64)")
    parser.add_argument("--no-captions", action="store_true", help="do not copy captions along")


def _add_regularize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder that --reg_data_dir will name")
    parser.add_argument("--class", dest="class_name", required=True, metavar="NAME", help="class, such as 1girl")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="in the folder's name (1)")
    parser.add_argument("--prompt", action="append", default=[], help="instead of the class; several take turns")
    parser.add_argument("--negative", default="", help="negative prompt")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="pictures in all (100)")
    parser.add_argument("--size", metavar="W,H", help="pixels; usually what the model was made for")
    parser.add_argument("--steps", type=int, default=30, metavar="N", help="of the sampler (30)")
    parser.add_argument("--scale", type=float, default=7.5, help="of the guidance (7.5)")
    parser.add_argument("--sampler", default="euler_a", help="as in --sample_sampler (euler_a)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the first picture (0)")
    parser.add_argument("--transparent", action="store_true", help="empty pictures, without a model")
    parser.add_argument("--no-captions", action="store_true", help="no caption files")
    parser.add_argument("--caption-extension", default=".txt", metavar=".EXT", help="of caption files (.txt)")
    parser.add_argument(
        "--model", "--pretrained-model-name-or-path", dest="base", default="", help="checkpoint that draws"
    )
    parser.add_argument("--vae", help="another VAE")
    parser.add_argument("--v-parameterization", action="store_true", help="it predicts v and its file does not say so")
    parser.add_argument("--clip-skip", type=int, metavar="N", help="as in training")
    parser.add_argument("--no-half-vae", action="store_true", help="VAE in float32")
    parser.add_argument("--precision", choices=("auto", "fp32", "fp16", "bf16"), default="auto", help="of the model")


def _of_folder(chosen: argparse.Namespace) -> dict[str, Any]:
    return {
        "folder": resolve_user_path(chosen.folder, "folder", where="FOLDER"),
        "only": _only(chosen.only, chosen.folder) if chosen.only else None,
        **{name: getattr(chosen, name) for name in ("recursive", "model", "download", "device", "dry_run")},
    }


def _only(text: str, folder: str) -> frozenset[Path]:
    """The pictures that a file lists, absolute or below the folder.

    Raises:
        UsageError: it is not there.
        DataError: it is not a list of texts.
    """
    path = resolve_user_path(text, "file", where="--only")
    try:
        listed = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(where=str(path), what="The file is not JSON.", why=str(error)[:200]) from error
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise DataError(where=str(path), what="This is no list of paths.", fix='Write ["a.png", "b.png"].')
    return frozenset(resolve_user_path(folder, "folder", where="FOLDER") / one for one in listed)


def _of_captions(chosen: argparse.Namespace) -> dict[str, Any]:
    return {
        **_of_folder(chosen),
        **{name: getattr(chosen, name) for name in ("mode", "batch_size", "caption_extension")},
    }


def _read_tag(chosen: argparse.Namespace) -> TagRequest:
    general, character = chosen.general_threshold, chosen.character_threshold
    rules = TagRules(
        general=chosen.threshold if general is None else general,
        character=chosen.threshold if character is None else character,
        excluded=frozenset(_by_comma(chosen.exclude)),
        keeps_underscores=chosen.keep_underscores,
        escapes_brackets=chosen.escape_brackets,
        order=chosen.order,
        characters_first=chosen.characters_first,
        rating=chosen.rating,
        first=_by_comma(chosen.first),
        separator=chosen.separator,
    )
    return TagRequest(**_of_captions(chosen), rules=rules)


def _read_describe(chosen: argparse.Namespace) -> DescribeRequest:
    rules = WritingRules(
        prompt=chosen.prompt,
        min_tokens=chosen.min_tokens,
        max_tokens=chosen.max_tokens,
        beams=chosen.beams,
        repetition_penalty=chosen.repetition_penalty,
    )
    return DescribeRequest(
        **_of_captions(chosen), rules=rules, precision=chosen.precision, prefix=chosen.prefix.strip()
    )


def _read_mask(chosen: argparse.Namespace) -> MaskRequest:
    return MaskRequest(
        **_of_folder(chosen),
        kind=chosen.kind,
        result=chosen.result,
        background=_colour(chosen.background),
        out=_new_folder(chosen.out),
        copies_captions=not chosen.no_captions and chosen.result != "mask",
    )


def _read_condition(chosen: argparse.Namespace) -> DepthRequest:
    return DepthRequest(
        **_of_folder(chosen), kind=chosen.kind, far_is_bright=chosen.far_is_bright, out=_new_folder(chosen.out)
    )


def _read_faces(chosen: argparse.Namespace) -> FacesRequest:
    return FacesRequest(
        **_of_folder(chosen),
        boxes=resolve_user_path(chosen.boxes, "file", where="--boxes") if chosen.boxes else None,
        **{name: getattr(chosen, name) for name in ("threshold", "margin", "square", "smallest")},
        out=_new_folder(chosen.out),
        copies_captions=not chosen.no_captions,
    )


def _read_regularize(chosen: argparse.Namespace) -> RegularizeRequest:
    name = check_created_name(chosen.class_name, where="--class")
    prompts = tuple(prompt.strip() for prompt in chosen.prompt if prompt.strip())
    kept = ("repeats", "negative", "count", "steps", "scale", "sampler", "seed", "transparent", "base", "vae")
    further = ("clip_skip", "no_half_vae", "precision", "device", "dry_run", "caption_extension")
    return RegularizeRequest(
        out=_new_folder(chosen.out),
        class_name=name,
        prompts=prompts or (name.replace("_", " "),),
        size_wh=_size(chosen.size) if chosen.size else None,
        writes_captions=not chosen.no_captions,
        v_prediction=chosen.v_parameterization,
        **{item: getattr(chosen, item) for item in (*kept, *further)},
    )


def _new_folder(text: str) -> Path:
    return resolve_user_path(text, "new folder", where="OUT")


def _by_comma(text: str) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def _colour(text: str) -> tuple[int, int, int]:
    if text.lower() in COLOURS:
        return COLOURS[text.lower()]
    digits = text.removeprefix("#")
    if not re.fullmatch(r"[0-9a-fA-F]{6}", digits):
        raise UsageError(
            where="--background",
            what=f"{text!r} is no colour.",
            fix="Write white, black, grey or RRGGBB such as 00ff00.",
        )
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _size(text: str) -> tuple[int, int]:
    try:
        return size_wh(text)
    except ValueError as error:
        raise UsageError(where="--size", what=str(error), fix="Write 512 or 512,768 (width, height).") from error


TOOLS = {
    "tag": Tool("tags from a WD14 tagger (v2, v3)", _add_tag, _read_tag),
    "describe": Tool("sentences from a captioner (BLIP, GIT, BLIP-2, chat models)", _add_describe, _read_describe),
    "mask": Tool("cut-outs or masks from a segmentation model", _add_mask, _read_mask),
    "condition": Tool("depth pictures from a depth model", _add_condition, _read_condition),
    "faces": Tool("crops around faces", _add_faces, _read_faces),
    "regularize": Tool("pictures of a class for regularization", _add_regularize, _read_regularize),
}
