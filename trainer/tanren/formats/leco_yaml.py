"""Prompt lists of other programs, as a prompt file of ours.

- p1atdev's LECO and the sliders built on it: a YAML list of entries with the keys of `PromptPair`.
- Ostris' ai-toolkit: `slider.targets` with `target_class`, `positive` and `negative`, inside `config.process`; its
  newer `concept_slider` has one target under other names.

What has no counterpart is named in a note, never dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EnvironmentProblem, UsageError
from .leco_prompts import PAIR_KEYS, SLIDER_KEYS
from .limits import check_values, read_settings_text
from .toml_file import write_nested

CONCEPT_SLIDER = {"positive_prompt": "positive", "negative_prompt": "negative", "target_class": "target_class"}


# How such a list begins, behind comments: `- target:`, or the name or kind of a job.
BEGINS = re.compile(r"(?:[ \t]*(?:#.*)?\r?\n|---\s*\n)*\s*(?:-\s+[\w\"']+\s*:|(?:job|config|meta|slider)\s*:)")


@dataclass(frozen=True)
class Converted:
    """The tables of a prompt file, and the places of what could not be taken over."""

    data: dict[str, Any]
    left_out: tuple[str, ...] = field(default=())

    @property
    def text(self) -> str:
        """The prompt file."""
        return write_nested(self.data)

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for everything that was left out."""
        return tuple(f"{place}: left out, it has no counterpart." for place in self.left_out)


def looks_like_yaml(text: str) -> bool:
    """True for a text that begins like such a list; no TOML and no JSON does."""
    return BEGINS.match(text) is not None


def convert_leco_yaml(path: Path) -> Converted:
    """Read such a list and write it as TOML.

    Raises:
        UsageError: the file cannot be read, is not YAML, or is of neither program.
        EnvironmentProblem: this Python has nothing that reads YAML.
    """
    return converted_leco_yaml(read_settings_text(path), str(path))


def converted_leco_yaml(text: str, name: str) -> Converted:
    """The same for the text of a file of some name."""
    data = _yaml(text, name)
    if isinstance(data, list) and data and all(isinstance(one, dict) for one in data):
        return _from_leco(data)
    sliders = list(_sliders(data)) if isinstance(data, dict) else []
    if sliders:
        return _from_toolkit(sliders)
    raise UsageError(
        where=name,
        what="This is neither a list of LECO prompts nor a slider of ai-toolkit.",
        fix="A LECO list begins with `- target:`, a slider stands under config, process, slider.",
    )


def _yaml(text: str, name: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise EnvironmentProblem(
            what="This Python has nothing that reads YAML.",
            fix="Make the trainer's environment first: python launch.py setup.",
        ) from None
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise UsageError(where=where, what=f"This is not valid YAML: {getattr(error, 'problem', error)}.") from None
    check_values(data, name)
    return data


def _from_leco(entries: list[dict[str, Any]]) -> Converted:
    left_out: list[str] = []
    prompts = []
    for number, entry in enumerate(entries):
        left_out += [f"[{number}].{key}" for key in entry if key not in PAIR_KEYS]
        prompts.append({key: entry[key] for key in PAIR_KEYS if entry.get(key) is not None})
    return Converted({"prompts": prompts}, tuple(left_out))


def _sliders(data: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The slider tables of an ai-toolkit job with the place they stand at."""
    config = data.get("config", data)
    processes = config.get("process", [config]) if isinstance(config, dict) else []
    for number, process in enumerate(processes if isinstance(processes, list) else []):
        slider = process.get("slider") if isinstance(process, dict) else None
        if isinstance(slider, dict):
            yield f"process[{number}].slider", slider


def _from_toolkit(sliders: list[tuple[str, dict[str, Any]]]) -> Converted:
    left_out: list[str] = []
    targets: list[dict[str, Any]] = []
    for place, slider in sliders:
        shared = {key: slider[key] for key in ("resolutions", "prompt_file") if slider.get(key) is not None}
        listed = slider.get("targets")
        if not isinstance(listed, list):
            renamed = {
                ours: slider[theirs] for theirs, ours in CONCEPT_SLIDER.items() if slider.get(theirs) is not None
            }
            listed, taken = [renamed], set(CONCEPT_SLIDER)
        else:
            taken = {"targets"}
        left_out += [f"{place}.{key}" for key in slider if key not in {*shared, *taken}]
        for number, target in enumerate(one for one in listed if isinstance(one, dict)):
            unknown = [key for key in target if key not in SLIDER_KEYS]
            left_out += [f"{place}.targets[{number}].{key}" for key in unknown]
            known = {key: target[key] for key in SLIDER_KEYS if target.get(key) is not None}
            targets.append({"target_class": "", **known, **shared})
    return Converted({"targets": targets}, tuple(left_out))
