"""One prompt line of the picture commands: `PROMPT --n NEGATIVE --w 1024 --h 1024 --d 1,2 --s 28 --l 7.5 …`.

` --` starts an option: letters in any case, a space, the value. The prompt itself is never read as an option. Variants
are drawn before, so that options may come from them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import Problems, UsageError

MOST_STEPS = 1000
LARGEST_SIDE = 16384
SEEDS = 2**64
OPTION = re.compile(r"([a-z]+\d?)(?:\s+(.*))?", re.IGNORECASE | re.DOTALL)
NOT_HERE = {
    **dict.fromkeys(("dsd1", "dst1", "dsd2", "dst2", "dsr"), "Deep Shrink"),
    **dict.fromkeys(("glt", "glr", "gle", "gls", "glsn", "glus"), "Gradual Latent"),
}


@dataclass(frozen=True)
class PromptLine:
    """What a line asks for; None where the command's own options apply.

    Args:
        width, height, original_width, original_height, original_width_negative, original_height_negative: pixels.
        crop_top, crop_left: pixels, as SDXL is told them.
        steps: 1 to 1000.
        seeds: one per picture of the line; the last one serves the rest.
        scale: of guidance.
        negative_scale: of the negative prompt; `without_negative_scale` when the line says "none".
        strength: of a picture that is drawn from another.
        multipliers: of the networks, in their order; the last one serves the rest.
        clip_prompt: recorded in the picture.
        file_name: of the picture.
    """

    prompt: str = ""
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    seeds: tuple[int, ...] = ()
    scale: float | None = None
    negative_scale: float | None = None
    without_negative_scale: bool = False
    strength: float | None = None
    multipliers: tuple[float, ...] = ()
    original_width: int | None = None
    original_height: int | None = None
    original_width_negative: int | None = None
    original_height_negative: int | None = None
    crop_top: int | None = None
    crop_left: int | None = None
    clip_prompt: str | None = None
    file_name: str | None = None


def read_prompt_line(line: str, where: str, problems: Problems) -> PromptLine:
    """Read a line completely; what is wrong goes to `problems`, and what belongs elsewhere is a warning there."""
    prompt, *rest = line.strip().split(" --")
    taken: dict[str, Any] = {"prompt": prompt.strip()}
    for piece in rest:
        found = OPTION.fullmatch(piece.strip())
        letters = found[1].lower() if found else ""
        if letters in NOT_HERE:
            problems.warn(f"{where}: --{letters} belongs to {NOT_HERE[letters]}, which is not here; it has no effect.")
        elif found is None or letters not in OPTIONS:
            problems.warn(f"{where}: --{piece.split()[0] if piece.split() else ''} is not known and has no effect.")
        else:
            try:
                taken |= _read(letters, (found[2] or "").strip())
            except ValueError as error:
                problems.add(UsageError(where=where, what=f"--{letters}: {error}"))
    return PromptLine(**taken)


def _read(letters: str, text: str) -> dict[str, Any]:
    name, read = OPTIONS[letters]
    if letters == "nl" and text.lower() == "none":
        return {"without_negative_scale": True, "negative_scale": None}
    return {name: read(text)}


def _text(text: str) -> str:
    return text


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,20}", text):
        raise ValueError(f"{text!r} is not a whole number.")
    return int(text)


def _side(text: str) -> int:
    number = _whole(text)
    if not 0 < number <= LARGEST_SIDE:
        raise ValueError(f"{number} pixels: from 1 to {LARGEST_SIDE} are possible.")
    return number


def _steps(text: str) -> int:
    return min(max(_whole(text), 1), MOST_STEPS)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a number.")
    return number


def _strength(text: str) -> float:
    number = _number(text)
    if not 0 <= number <= 1:
        raise ValueError(f"{text} is not between 0 and 1.")
    return number


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(_number(part.strip()) for part in text.split(","))


def _seeds(text: str) -> tuple[int, ...]:
    seeds = tuple(_whole(part.strip()) for part in text.split(","))
    if any(seed >= SEEDS for seed in seeds):
        raise ValueError(f"{max(seeds)} is too large for a seed.")
    return seeds


OPTIONS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "n": ("negative_prompt", _text),
    "w": ("width", _side),
    "h": ("height", _side),
    "s": ("steps", _steps),
    "d": ("seeds", _seeds),
    "l": ("scale", _number),
    "nl": ("negative_scale", _number),
    "t": ("strength", _strength),
    "am": ("multipliers", _numbers),
    "ow": ("original_width", _side),
    "oh": ("original_height", _side),
    "nw": ("original_width_negative", _side),
    "nh": ("original_height_negative", _side),
    "ct": ("crop_top", _whole),
    "cl": ("crop_left", _whole),
    "c": ("clip_prompt", _text),
    "f": ("file_name", _text),
}
