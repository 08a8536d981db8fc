"""Prompts of the pictures that are drawn while training goes on.

Three forms, told apart by the suffix:

- `.txt`: one prompt a line; blank lines and lines that start with `#` are left out. ` --` starts an option: one or more
  letters, one space, the value: `PROMPT --n NEGATIVE --w 768 --h 768 --d 1 --l 7.5 --s 28`.
- `.toml`: a `[prompt]` table of shared keys and `[[prompt.subset]]` tables that override them.
- `.json`: a list of lines as in `.txt`, or of objects with the keys of `SamplePrompt`.

Known options and keys must have values of their type: everything wrong is told at once, before training starts. Others
belong to other programs or models, and are left out with a note.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import Problems, UsageError
from .json_file import parse_json
from .limits import read_settings_text
from .toml_file import open_toml

MOST_STEPS = 1000
LARGEST_SIDE = 16384
OPTION = re.compile(r"([a-z]+) (.*)", re.IGNORECASE | re.DOTALL)
KEYS = {
    "n": "negative_prompt",
    "w": "width",
    "h": "height",
    "d": "seed",
    "s": "sample_steps",
    "l": "scale",
    "g": "guidance_scale",
    "ss": "sample_sampler",
    "cn": "controlnet_image",
}
ELSEWHERE = {"ctr": "cfg_trunc_ratio", "rcfg": "renorm_cfg", "fs": "flow_shift"}
WHOLE = ("width", "height", "seed", "sample_steps")
NUMBERS = ("scale", "guidance_scale")


@dataclass(frozen=True)
class SamplePrompt:
    """One picture to draw; None where the family's default applies.

    Args:
        width, height: pixels as written; see `size_wh`.
        seed: None for one that the run chooses.
        sample_steps: 1 to 1000.
        scale: of classifier-free guidance; none is used at 1 and below.
        guidance_scale: of models with a guidance embedding.
        controlnet_image: control picture of ControlNet training.
    """

    prompt: str = ""
    negative_prompt: str | None = None
    width: int = 512
    height: int = 512
    seed: int | None = None
    sample_steps: int | None = None
    scale: float | None = None
    guidance_scale: float | None = None
    sample_sampler: str | None = None
    controlnet_image: str | None = None

    def size_wh(self, multiple: int) -> tuple[int, int]:
        """Pixels (width, height), rounded down to a multiple, at least 64."""
        width, height = (max(64, side - side % multiple) for side in (self.width, self.height))
        return width, height


@dataclass(frozen=True)
class SamplePrompts:
    """What a prompt file says, and notes on what was left out."""

    prompts: tuple[SamplePrompt, ...]
    notes: tuple[str, ...] = ()


def read_sample_prompts(path: Path) -> SamplePrompts:
    """Read a prompt file completely.

    Raises:
        UserError: every problem of the file, with its line or entry.
    """
    problems = Problems()
    entries = _entries(path, problems)
    prompts = [_prompt(values, where, problems) for where, values in entries]
    if not prompts and not problems.errors:
        problems.warn(f"{path} holds no prompts: no sample pictures will be drawn.")
    problems.raise_if_any()
    return SamplePrompts(tuple(prompts), tuple(problems.warnings))


def parse_line(line: str) -> dict[str, str]:
    """The prompt and the options of one `.txt` line, by key; options nobody knows keep their letters as key.

    The prompt itself is never read as an option, even when it starts like one.
    """
    prompt, *rest = line.strip().split(" --")
    values = {"prompt": prompt.strip()}
    for piece in rest:
        found = OPTION.match(piece)
        if found:
            letters = found[1].lower()
            values[KEYS.get(letters) or ELSEWHERE.get(letters) or f"--{letters}"] = found[2].strip()
    return values


def _entries(path: Path, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    """Values of each prompt with the place they stand at."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        lines = enumerate(read_settings_text(path).splitlines(), 1)
        return [(f"{path}:{n}", parse_line(line)) for n, line in lines if line.strip() and not line.startswith("#")]
    if suffix == ".toml":
        return _toml_entries(path)
    if suffix == ".json":
        return _json_entries(path, problems)
    raise UsageError(
        where=str(path), what=f"{suffix or 'No suffix'} is no form of prompt files.", fix="Use .txt, .toml or .json."
    )


def _toml_entries(path: Path) -> list[tuple[str, dict[str, Any]]]:
    file = open_toml(path)
    shared = file.data.get("prompt")
    if not isinstance(shared, dict):
        raise UsageError(where=str(path), what="There is no [prompt] table.", fix="Start with [prompt].")
    shared = dict(shared)
    if "subset" not in shared:
        return [(file.where("prompt"), shared)]
    subsets = shared.pop("subset")
    if not isinstance(subsets, list) or not all(isinstance(subset, dict) for subset in subsets):
        raise UsageError(where=file.where("prompt", "subset"), what="prompt.subset is not a list of tables.")
    return [(file.where("prompt", "subset", i), {**shared, **subset}) for i, subset in enumerate(subsets)]


def _json_entries(path: Path, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    data = parse_json(read_settings_text(path), str(path))
    if not isinstance(data, list):
        raise UsageError(where=str(path), what="The file is not a list of prompts.", fix='Write ["a cat --d 1"].')
    entries = []
    for index, element in enumerate(data):
        where = f"{path}[{index}]"
        if isinstance(element, str):
            entries.append((where, parse_line(element)))
        elif isinstance(element, dict):
            entries.append((where, element))
        else:
            problems.add(UsageError(where=where, what=f"{element!r} is neither a text nor an object."))
    return entries


def _prompt(values: dict[str, Any], where: str, problems: Problems) -> SamplePrompt:
    known = {field.name for field in fields(SamplePrompt)}
    taken: dict[str, Any] = {}
    for key, value in values.items():
        if key in known:
            try:
                taken[key] = _value(key, value)
            except ValueError as error:
                problems.add(UsageError(where=where, what=f"{key}: {error}"))
        elif key not in ELSEWHERE.values():
            problems.warn(f"{where}: {key} is not known here and has no effect.")
    return SamplePrompt(**taken)


def _value(key: str, value: Any) -> Any:
    """The value in its type; text counts as a number when it is one.

    Raises:
        ValueError: a sentence about what was expected.
    """
    if key in WHOLE:
        return _whole(key, value)
    if key in NUMBERS:
        return _number(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text.")
    if "\0" in value:
        raise ValueError("the text contains a NUL character.")
    return value


def _number(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a number.")
    return number


def _whole(key: str, value: Any) -> int | None:
    is_text = isinstance(value, str) and re.fullmatch(r"-?\d{1,20}", value)
    if isinstance(value, bool) or not (isinstance(value, int) or is_text):
        raise ValueError(f"{value!r} is not a whole number.")
    number = int(value)
    if key == "seed":
        if number >= 2**64:
            raise ValueError(f"{number} is too large for a seed.")
        # Other programs write -1 for a random seed.
        return number if number >= 0 else None
    if key == "sample_steps":
        return min(max(number, 1), MOST_STEPS)
    if not 0 < number <= LARGEST_SIDE:
        raise ValueError(f"{number} pixels: from 1 to {LARGEST_SIDE} are possible.")
    return number
