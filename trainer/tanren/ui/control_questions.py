"""The questions of a training with control pictures (ControlNet-LLLite): two folders, and pictures that show progress.

The folders stand for `train_data_dir` and `conditioning_data_dir` as they are; there is no layout with repeats. Unless
somebody writes prompts, samples are drawn for some of the pairs: the caption, steered by the control picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..commands import COMMANDS
from ..data.listing import folded, list_folder, stem_of
from ..errors import Problems, UsageError, UserError
from ..formats.captions import caption_names, read_caption
from ..formats.picture_header import read_header
from ..options.contents import DATASET
from ..paths import PathPolicy, asset, resolve_user_path
from .fields import PATH, Field
from .values import unquoted

PICTURES, CONTROLS = "train_data_dir", "conditioning_data_dir"
FOLDER, CONTROL_FOLDER = "pictures", "control_pictures"
OWN = (
    Field(
        name=CONTROL_FOLDER,
        group="Simple view",
        label="Folder of control pictures",
        help="One picture of the same name and size for each: edges, lines, depth, a sketch. They can be made here.",
        kind=PATH,
        path="folder",
        level="basic",
    ),
)
MOST_PROMPTS = 3
# A line of prompts cannot begin with its options.
WITHOUT_CAPTION = "a picture"
# What begins an option in such a line, and what makes a comment of it when it begins with that.
OPTIONS, COMMENT = " --", "# "
# Sides of what is drawn; every layer of a ControlNet-LLLite meets whole cells of the control picture.
SIDE_STEP, USUAL_SIDE = 64, 1024
# What the shared questions are called here: label, and the sentence below it where that is another one.
LABELS = {
    FOLDER: ("Folder of the pictures", "The pictures that are learned from, with their captions beside them."),
    "output_name": ("Name of the control network", "What the control network and its files will be called."),
}


def learns_from_pairs(command: str) -> bool:
    """True where every picture has a control picture."""
    return any(getattr(group, "reads_controls", False) for group in COMMANDS[command].groups)


def read_pictures(own: Mapping[str, Any], options: dict[str, Any], problems: Problems) -> None:
    """Put both folders into the options."""
    folders = {
        option: unquoted(str(own.get(name) or "").strip())
        for option, name in ((PICTURES, FOLDER), (CONTROLS, CONTROL_FOLDER))
    }
    given = {option: folder for option, folder in folders.items() if folder}
    if given and options.get(DATASET):
        what = f"The pictures are named twice, here and by --{DATASET}."
        problems.add(UsageError(where=f"--{FOLDER}", what=what, fix="Empty one of the fields."))
        return
    options.update(given)


def fill_pictures(options: dict[str, Any]) -> dict[str, str]:
    """What the two questions show for some options, which lose what the questions stand for."""
    return {FOLDER: options.pop(PICTURES, ""), CONTROL_FOLDER: options.pop(CONTROLS, "")}


def question_of(option: str) -> str:
    """The question that stands for an option; the option itself where none does."""
    return {PICTURES: FOLDER, CONTROLS: CONTROL_FOLDER}.get(option, option)


def sample_prompts(options: Mapping[str, Any], policy: PathPolicy) -> list[str]:
    """Lines that draw some of the pairs anew, spread over the folder; none while a folder is missing.

    Args:
        options: with both folders.
        policy: folders outside of its roots are not looked into.
    """
    if policy.roots is not None:
        policy = PathPolicy((*policy.roots, asset()))
    try:
        pictures, controls = (
            resolve_user_path(str(options.get(name) or ""), "folder", policy=policy) for name in (PICTURES, CONTROLS)
        )
        pairs = _pairs(str(pictures), _changed(pictures), str(controls), _changed(controls), policy.roots)
    except (UserError, OSError):
        # The checks tell it better.
        return []
    places = dict.fromkeys(place * (len(pairs) - 1) // (MOST_PROMPTS - 1) for place in range(MOST_PROMPTS))
    lines = [_line(pictures / pairs[place][0], controls / pairs[place][1], options) for place in places if pairs]
    return [line for line in lines if line]


def _changed(folder: Path) -> int:
    return folder.stat().st_mtime_ns


@lru_cache(maxsize=8)
def _pairs(
    pictures: str, pictures_changed: int, controls: str, controls_changed: int, roots: Sequence[Path] | None
) -> list[tuple[str, str]]:
    """Names of pictures and of their control pictures; listed anew when a folder changes."""
    first, second = (list_folder(folder, Problems(), roots).pictures for folder in (pictures, controls))
    by_stem = {folded(stem_of(name)): name for name in second}
    found = ((name, by_stem.get(folded(stem_of(name)))) for name in first)
    return [(name, control) for name, control in found if control is not None]


def _line(picture: Path, control: Path, options: Mapping[str, Any]) -> str:
    """One prompt; empty where the picture cannot be read, or a prompt cannot name its control picture."""
    if OPTIONS in str(control):
        return ""
    try:
        width, height = _drawn_size(read_header(str(picture)).size_wh, options)
        text = _caption(picture, str(options.get("caption_extension") or ".caption"))
    except (UserError, OSError):
        return ""
    prompt = text.replace(OPTIONS, " - ").lstrip(COMMENT) or WITHOUT_CAPTION
    return f"{prompt} --w {width} --h {height} --d 1 --cn {control}".strip()


def _caption(picture: Path, extension: str) -> str:
    for name in caption_names(stem_of(picture.name), extension):
        path = picture.with_name(name)
        if path.is_file():
            return read_caption(str(path)).text
    return ""


def _drawn_size(size_wh: tuple[int, int], options: Mapping[str, Any]) -> tuple[int, int]:
    """The trained size in the shape of the picture, where shapes are kept."""
    size = options.get("resolution")
    wide, high = size if isinstance(size, list) and len(size) == 2 else (USUAL_SIDE, USUAL_SIDE)
    if not options.get("enable_bucket"):
        return wide, high
    factor = (wide * high / (size_wh[0] * size_wh[1])) ** 0.5
    width, height = (max(1, round(side * factor / SIDE_STEP)) * SIDE_STEP for side in size_wh)
    return width, height
