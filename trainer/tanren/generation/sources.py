"""Pictures that a run begins with, masks and control pictures: found, paired and measured. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..data.listing import list_folder
from ..errors import DataError, Problems, UsageError, UserError
from ..formats.infotext import PROMPT_KEY, read_infotext
from ..formats.picture_header import read_header
from ..options.generating_inputs import ControlOptions, FromPictureOptions
from ..options.spec import Settings
from ..paths import home_expanded, resolve_user_path
from .request import Inputs, Start

NEGATIVE_KEY = "negative-prompt"


def read_inputs(settings: Settings, problems: Problems) -> Inputs:
    """Everything that `--image_path`, `--mask_path` and `--guide_image_path` name; what is wrong goes to `problems`."""
    asked, control = settings[FromPictureOptions], settings[ControlOptions]
    sizes: dict[Path, tuple[int, int]] = {}
    pictures = _pictures([asked.image_path] if asked.image_path else [], "--image_path", sizes, problems)
    masks = _pictures([asked.mask_path] if asked.mask_path else [], "--mask_path", sizes, problems)
    if masks and pictures and len(masks) not in (1, len(pictures)):
        what = f"There are {len(masks)} masks for {len(pictures)} pictures."
        problems.add(UsageError(where="--mask_path", what=what, fix="Give one mask, or one for each picture."))
    starts = [Start(path, masks[index % len(masks)] if masks else None) for index, path in enumerate(pictures)]
    guides = _pictures(control.guide_image_path, "--guide_image_path", sizes, problems)
    each = len(control.control_net_lllite_models)
    if guides and each and len(guides) % each:
        what = f"{len(guides)} control pictures cannot be shared out among {each} models."
        fix = "Give them in turn: one for each model, then the next ones."
        problems.add(UsageError(where="--guide_image_path", what=what, fix=fix))
    return Inputs(starts, guides, each, sizes)


def stored_prompts(starts: Sequence[Start]) -> list[str]:
    """The prompts that the pictures were drawn with, as prompt lines; empty for pictures that hold none."""
    lines = []
    for start in starts:
        with Image.open(start.picture) as picture:
            stored = {key: text for key, text in picture.info.items() if isinstance(text, str)}
        prompt, negative = stored.get("prompt"), stored.get(NEGATIVE_KEY)
        if prompt is None and PROMPT_KEY in stored:
            prompt, negative = read_infotext(stored[PROMPT_KEY])[:2]
        line = " ".join((prompt or "").split())
        lines.append(f"{line} --n {' '.join(negative.split())}" if negative else line)
    return lines


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, upright.

    Raises:
        DataError: no picture that can be read.
    """
    return read_header(str(path)).size_wh


def _pictures(named: Sequence[str], where: str, sizes: dict[Path, tuple[int, int]], problems: Problems) -> list[Path]:
    """Files, and the pictures in folders by name, in the order given; each is measured."""
    found: list[Path] = []
    for name in named:
        try:
            found += _in_folder(name, where, problems) if home_expanded(name).is_dir() else [_file(name, where)]
        except UserError as problem:
            problems.add(problem)
    for path in found:
        try:
            sizes[path] = picture_size(path)
        except DataError as problem:
            problems.add(problem)
        except OSError as error:
            problems.add(DataError(where=str(path), what=f"The picture cannot be read: {error.strerror or error}."))
    return found


def _file(name: str, where: str) -> Path:
    return resolve_user_path(name, "file", where=where)


def _in_folder(name: str, where: str, problems: Problems) -> list[Path]:
    folder = resolve_user_path(name, "folder", where=where)
    pictures = [folder / picture for picture in list_folder(str(folder), problems).pictures]
    if not pictures:
        problems.add(UsageError(where=where, what=f"There are no pictures in {folder}."))
    return pictures
