"""Prompt files of LECO training: what to erase, to strengthen or to slide.

A TOML file in one of two notations, or with both:

- `[[prompts]]`: one pair each. `target` is the prompt that changes; the other keys are fields of `PromptPair`.
- `[[targets]]`, alone or inside `[slider]`: a class of things and what its slider's two ends look like. Each becomes
  two or four pairs for every neutral prompt and every resolution.

Keys outside of the entries are defaults for all of them. An entry with `target_class` is a slider wherever it stands.
`resolution` is a number or `[HEIGHT, WIDTH]`: height first, unlike dataset files. Source of the slider's pairs: kohya's
trainers, after Ostris' sliders (2023); of erase and enhance: Gandikota et al. 2023, arXiv:2303.07345.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import Problems, UsageError, UserError
from ..paths import ANYWHERE, PathPolicy, home_expanded, resolve_user_path
from .limits import read_settings_text
from .nearest import nearest
from .toml_file import TomlFile, open_toml

Action = Literal["erase", "enhance"]
ERASE: Action = "erase"
ENHANCE: Action = "enhance"
OPPOSITE: dict[Action, Action] = {ERASE: ENHANCE, ENHANCE: ERASE}
SIDE_STEP, SMALLEST_SIDE, LARGEST_SIDE = 8, 64, 4096
LARGEST_BATCH = 1024
TEXTS = ("target", "positive", "unconditional", "neutral")
NUMBERS = ("guidance_scale", "multiplier", "weight")
TRUTHS = ("dynamic_resolution", "dynamic_crops")
SHARED = ("guidance_scale", "resolution", "resolutions", "batch_size", *TRUTHS, "multiplier", "weight")
NEUTRAL_FILES = ("neutral_prompt_file", "prompt_file")
NEUTRALS = ("neutral", "neutrals", *NEUTRAL_FILES)
PAIR_KEYS = (*TEXTS, "action", *SHARED)
SLIDER_KEYS = ("target_class", "positive", "negative", *NEUTRALS, *SHARED)
CONTAINERS = ("prompts", "targets", "slider")


@dataclass(frozen=True)
class PromptPair:
    """One thing to learn: how the prediction for `target` shall change.

    Attributes:
        action: erase moves it away from `positive`, enhance towards it, both seen from `unconditional` and begun at
            `neutral`.
        guidance_scale: how far.
        resolution_hw: height and width of the latents' pictures, pixels.
        dynamic_resolution: another height and width at each step, from half of it upwards; of squares only.
        dynamic_crops: another original size and crop at each step (SDXL).
        multiplier: strength of the network at which this is learned; negative for the other end of a slider.
        weight: of the loss.
        where: entry of the file, for messages.
    """

    target: str
    positive: str
    unconditional: str = ""
    neutral: str = ""
    action: Action = ERASE
    guidance_scale: float = 1.0
    resolution_hw: tuple[int, int] = (512, 512)
    batch_size: int = 1
    dynamic_resolution: bool = False
    dynamic_crops: bool = False
    multiplier: float = 1.0
    weight: float = 1.0
    where: str = ""


@dataclass(frozen=True)
class LecoPrompts:
    """What a prompt file says.

    Attributes:
        pairs: in the order of the file, sliders expanded.
        has_sliders: whether strengths below 0 mean something.
        notes: lines about what was left out.
    """

    pairs: tuple[PromptPair, ...]
    has_sliders: bool
    notes: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """Every prompt that has to be encoded, each once."""
        every = (text for pair in self.pairs for text in (pair.target, pair.positive, pair.unconditional, pair.neutral))
        return tuple(dict.fromkeys(every))


def read_leco_prompts(path: Path, policy: PathPolicy = ANYWHERE) -> LecoPrompts:
    """Read a prompt file completely.

    Args:
        path: of the file.
        policy: where the files of neutral prompts that it names may lie.

    Raises:
        UserError: every problem of the file, with its entry and field.
    """
    problems = Problems()
    reader = _Reader(open_toml(path), problems, policy)
    pairs, has_sliders = reader.pairs()
    if not pairs and not problems.errors:
        problems.add(
            UsageError(
                where=str(path),
                what="The file holds no prompts.",
                fix='Write [[prompts]] and target = "…", or [[targets]] with target_class, positive and negative.',
            )
        )
    problems.raise_if_any()
    return LecoPrompts(tuple(pairs), has_sliders, tuple(problems.warnings))


@dataclass(frozen=True)
class _Entry:
    """A table of the file with the defaults that hold for it.

    Attributes:
        place: names that lead to it, such as ("slider", "targets", 0).
        defaults: of the tables around it.
    """

    place: tuple[str | int, ...]
    table: Mapping[str, Any]
    defaults: Mapping[str, Any]

    @property
    def is_slider(self) -> bool:
        return "target_class" in self.table or "targets" in self.place


class _Reader:
    """Turns tables into pairs and says what is wrong with their fields."""

    def __init__(self, file: TomlFile, problems: Problems, policy: PathPolicy) -> None:
        self._file, self._problems, self._policy = file, problems, policy

    def pairs(self) -> tuple[list[PromptPair], bool]:
        found: list[PromptPair] = []
        entries = self._entries()
        for entry in entries:
            found += self._slider(entry) if entry.is_slider else self._pairs_of_prompt(entry)
        return found, any(entry.is_slider for entry in entries)

    def _entries(self) -> list[_Entry]:
        data = self._file.data
        shared = {key: value for key, value in data.items() if key not in CONTAINERS}
        entries = self._listed(data, "prompts", (), shared) + self._listed(data, "targets", (), shared)
        slider = data.get("slider")
        if isinstance(slider, dict):
            inner = {**shared, **{key: value for key, value in slider.items() if key != "targets"}}
            entries += self._listed(slider, "targets", ("slider",), inner)
            if "targets" not in slider and "target_class" in slider:
                entries.append(_Entry(("slider",), slider, shared))
        elif slider is not None:
            self._complain(("slider",), "This is not a table.", "Write [slider].")
        if not entries and ("target_class" in shared or "target" in shared):
            entries.append(_Entry((), shared, {}))
        return entries

    def _listed(
        self, table: Mapping[str, Any], name: str, place: tuple[str | int, ...], defaults: Mapping[str, Any]
    ) -> list[_Entry]:
        listed = table.get(name, [])
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            self._complain((*place, name), "This is not a list of tables.", f"Write [[{name}]] above each entry.")
            return []
        return [_Entry((*place, name, number), one, defaults) for number, one in enumerate(listed)]

    def _pairs_of_prompt(self, entry: _Entry) -> list[PromptPair]:
        self._refuse_unknown(entry, PAIR_KEYS)
        texts = {key: self._text(entry, key) for key in TEXTS}
        if texts["target"] is None:
            self._complain((*entry.place, "target"), "target is missing.", 'Say what changes: target = "…".')
            return []
        action = self._value(entry, "action", ERASE)
        if action not in OPPOSITE:
            self._complain((*entry.place, "action"), f"action {action!r} is neither erase nor enhance.", "")
            return []
        unconditional = texts["unconditional"] or ""
        pair = PromptPair(
            target=texts["target"],
            positive=texts["target"] if texts["positive"] is None else texts["positive"],
            unconditional=unconditional,
            neutral=unconditional if texts["neutral"] is None else texts["neutral"],
            action=action,
            where=self._named(entry.place),
        )
        return self._at_each_resolution(pair, entry)

    def _slider(self, entry: _Entry) -> list[PromptPair]:
        self._note_unknown(entry)
        positive, negative = (self._text(entry, key) or "" for key in ("positive", "negative"))
        target = self._text(entry, "target_class")
        if target is None:
            self._complain(
                (*entry.place, "target_class"),
                "target_class is missing.",
                'Say what the slider changes, such as target_class = "person"; "" means everything.',
            )
            return []
        if not positive.strip() and not negative.strip():
            self._complain(
                (*entry.place, "positive"),
                "positive and negative are both empty.",
                "Describe at least one end of the slider.",
            )
            return []
        base = PromptPair(target=target, positive="", where=self._named(entry.place))
        pairs: list[PromptPair] = []
        for neutral in self._neutrals(entry):
            for sized in self._at_each_resolution(replace(base, neutral=neutral), entry):
                pairs += slider_pairs(sized, positive.strip() and positive, negative.strip() and negative)
        return pairs

    def _at_each_resolution(self, pair: PromptPair, entry: _Entry) -> list[PromptPair]:
        """The pair with the fields that both notations have, once for every resolution."""
        numbers = {key: self._number(entry, key) for key in NUMBERS}
        truths = {key: self._truth(entry, key) for key in TRUTHS}
        batch_size = self._value(entry, "batch_size", 1)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or not 1 <= batch_size <= LARGEST_BATCH:
            place = (*entry.place, "batch_size")
            self._complain(place, f"batch_size {batch_size!r} is not a whole number from 1 to {LARGEST_BATCH}.", "")
            batch_size = 1
        shared: dict[str, Any] = {**numbers, **truths, "batch_size": batch_size}
        return [replace(pair, resolution_hw=size, **shared) for size in self._resolutions(entry)]

    def _resolutions(self, entry: _Entry) -> list[tuple[int, int]]:
        tables = (entry.table, entry.defaults)
        given = [(key, table[key]) for table in tables for key in ("resolutions", "resolution") if key in table]
        key, value = given[0] if given else ("resolution", 512)
        are_several = isinstance(value, list) and bool(value) and all(isinstance(one, list) for one in value)
        sizes: list[tuple[int, int]] = []
        sizes_given: Any = value if are_several else [value]
        for one in sizes_given:
            sides = [one, one] if isinstance(one, int) and not isinstance(one, bool) else one
            if is_size(sides):
                sizes.append((sides[0], sides[1]))
            else:
                self._complain(
                    (*entry.place, key),
                    f"{key} {one!r} is neither a number nor [HEIGHT, WIDTH].",
                    f"Sides are multiples of {SIDE_STEP} from {SMALLEST_SIDE} to {LARGEST_SIDE}: {key} = [768, 512].",
                )
        return sizes

    def _neutrals(self, entry: _Entry) -> list[str]:
        """The entry's own neutral prompts, else those of the tables around it, else the empty one."""
        for table in (entry.table, entry.defaults):
            found = self._neutrals_in(table, entry)
            if found:
                return found
        return [""]

    def _neutrals_in(self, table: Mapping[str, Any], entry: _Entry) -> list[str]:
        listed = table.get("neutrals", [])
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            self._complain((*entry.place, "neutrals"), "neutrals is not a list of texts.", 'neutrals = ["…", "…"]')
            listed = []
        found = list(listed)
        for key in NEUTRAL_FILES:
            name = table.get(key)
            if isinstance(name, str) and name:
                found += self._lines_of(self._file.path.parent / home_expanded(name), (*entry.place, key))
            elif name is not None and not isinstance(name, str):
                self._complain((*entry.place, key), f"{key} is not the name of a file.", "")
        own = table.get("neutral")
        return found or ([own] if isinstance(own, str) else [])

    def _lines_of(self, path: Path, place: tuple[str | int, ...]) -> list[str]:
        try:
            if self._policy.roots is not None:
                path = resolve_user_path(str(path), "file", policy=self._policy)
            return _lines_of(path)
        except UserError as error:
            self._complain(place, f"{path}: {error.what}", error.fix)
            return []

    def _value(self, entry: _Entry, key: str, default: Any) -> Any:
        return entry.table.get(key, entry.defaults.get(key, default))

    def _text(self, entry: _Entry, key: str) -> str | None:
        value = self._value(entry, key, None)
        if value is not None and not isinstance(value, str):
            self._complain((*entry.place, key), f"{key} {value!r} is not a text.", 'Put it in quotes: "…".')
            return ""
        return value

    def _number(self, entry: _Entry, key: str) -> float:
        value = self._value(entry, key, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._complain((*entry.place, key), f"{key} {value!r} is not a number.", "")
            return 1.0
        return float(value)

    def _truth(self, entry: _Entry, key: str) -> bool:
        value = self._value(entry, key, False)
        if not isinstance(value, bool):
            self._complain((*entry.place, key), f"{key} {value!r} is neither true nor false.", "")
            return False
        return value

    def _refuse_unknown(self, entry: _Entry, known: Sequence[str]) -> None:
        for key in entry.table:
            if key not in known and entry.place:
                near = nearest(key, known)
                fix = f"Did you mean {near}?" if near else "Known: " + ", ".join(known) + "."
                self._complain((*entry.place, key), f"{key} is not a field of prompts.", fix)

    def _note_unknown(self, entry: _Entry) -> None:
        for key in entry.table:
            if key not in SLIDER_KEYS:
                near = nearest(key, SLIDER_KEYS)
                hint = f"; did you mean {near}?" if near else ""
                self._problems.warn(f"{self._named((*entry.place, key))}: {key} means nothing here{hint}")

    def _complain(self, place: tuple[str | int, ...], what: str, fix: str) -> None:
        self._problems.add(UsageError(where=self._named(place), what=what, fix=fix))

    def _named(self, place: tuple[str | int, ...]) -> str:
        """`file:line prompts[0].field`."""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        return f"{self._file.where(*place) if place else self._file.path} {text}".strip()


def is_prompt_file(data: Mapping[str, Any]) -> bool:
    """True for tables that hold an entry of either notation."""
    slider = data.get("slider")
    places = [data, slider] if isinstance(slider, dict) else [data]
    listed = [data.get("prompts"), *(place.get("targets") for place in places)]
    has_lists = any(isinstance(one, list) and one and isinstance(one[0], dict) for one in listed)
    return has_lists or any("target_class" in place for place in places) or "target" in data


def with_neutrals(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The tables of a prompt file with the lines of the files of neutral prompts that they name, in their places.

    Args:
        data: the whole file, or a table of it.
        folder: of the file.

    Raises:
        UserError: such a file cannot be read.
    """
    inside: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            inside[key] = with_neutrals(value, folder)
        elif isinstance(value, list) and key in CONTAINERS:
            inside[key] = [with_neutrals(one, folder) if isinstance(one, dict) else one for one in value]
        elif key not in NEUTRAL_FILES or not isinstance(value, str):
            inside[key] = value
    names = [data[key] for key in NEUTRAL_FILES if isinstance(data.get(key), str) and data[key]]
    if names:
        lines = [line for name in names for line in _lines_of(folder / home_expanded(name))]
        inside["neutrals"] = [*data.get("neutrals", []), *lines]
    return inside


def _lines_of(path: Path) -> list[str]:
    lines = read_settings_text(path).splitlines()
    return [line.strip() for line in lines if line.strip()]


def slider_pairs(base: PromptPair, positive: str, negative: str) -> list[PromptPair]:
    """What one target of a slider asks for at both strengths; an empty end is left out.

    With both ends, strength +m goes away from `negative` and towards `positive`, strength -m the other way.
    """
    if positive and negative:
        asked: list[tuple[str, str, Action, int]] = [
            (negative, positive, ERASE, 1),
            (positive, negative, ENHANCE, 1),
            (positive, negative, ERASE, -1),
            (negative, positive, ENHANCE, -1),
        ]
    else:
        action = ENHANCE if positive else ERASE
        asked = [(positive or negative, "", action, 1), (positive or negative, "", OPPOSITE[action], -1)]
    return [
        replace(base, positive=towards, unconditional=seen_from, action=action, multiplier=sign * base.multiplier)
        for towards, seen_from, action, sign in asked
    ]


def is_size(sides: Any) -> bool:
    """True for a list of height and width that pictures can have."""
    return (
        isinstance(sides, list)
        and len(sides) == 2
        and all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
        and all(SMALLEST_SIDE <= side <= LARGEST_SIDE and side % SIDE_STEP == 0 for side in sides)
    )


def pair_fields(pair: PromptPair) -> dict[str, Any]:
    """The pair as metadata and reports show it."""
    return {field.name: getattr(pair, field.name) for field in fields(pair) if field.name != "where"}
