"""What one press of a button would change about a problem or a note: fields and their new values.

The checks speak of flags, in sentences of few forms; what such a sentence advises is what its buttons do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..options.convert import takes_no_value
from ..options.spec import Option
from .words import Text, text

TURN_ON = (r"Add --(\w+)[,.]", r"--(\w+) is (?:probably )?missing")
TURN_OFF = (r"[Ll]eave --(\w+) out", r"--(\w+) is probably wrong")
TOGETHER = re.compile(r"(?:It|--(\w+)) cannot go together with (?:--)?(\w+)")
VARIED = re.compile(r"^--(\w+) needs captions that stay the same, and ([\w, ]+) var")
SET_TO = re.compile(r"Set --(\w+) ([\w.,]+?)\.$")
# Where a field's label alone would not say what happens.
SAID = {
    ("network_train_unet_only", True): "Train the U-Net only",
    ("shuffle_caption", False): "Turn off shuffling",
}
LONGEST_WISH = 10_000


@dataclass(frozen=True)
class Wish:
    """A button: what it says, and the values it puts into fields."""

    label: Text
    values: Mapping[str, str | bool]

    @property
    def text(self) -> str:
        """For the page, which hands it back when the button is pressed."""
        return json.dumps(dict(self.values), ensure_ascii=False)


def wishes(where: str, sentence: str, declared: Mapping[str, Option]) -> tuple[Wish, ...]:
    """The buttons of a problem or a note.

    Args:
        where: its place, such as "--cache_latents".
        sentence: all that it says.
        declared: options that the form asks for.
    """
    found = [*_flags(sentence, declared), *_together(where, sentence, declared), *_varied(sentence, declared)]
    value = SET_TO.search(sentence)
    if value and value[1] in declared:
        label = text("Set “{label}” to {value}", label=text(declared[value[1]].text.label), value=value[2])
        found.append(Wish(label, {value[1]: value[2]}))
    return tuple(wish for place, wish in enumerate(found) if wish not in found[:place])


def wished(wish: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a page asks for with a wish's text; only those of fields that there are.

    Args:
        wish: as `Wish.text` wrote it, or as anybody made it.
        known: fields of the form, by name.
    """
    try:
        data = json.loads(wish) if 0 < len(wish) <= LONGEST_WISH else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {name: value for name, value in data.items() if name in known and isinstance(value, (str, bool))}


def _flags(sentence: str, declared: Mapping[str, Option]) -> Iterator[Wish]:
    for patterns, is_on in ((TURN_ON, True), (TURN_OFF, False)):
        for name in (name for pattern in patterns for name in re.findall(pattern, sentence)):
            if _is_flag(name, declared):
                yield _turned((name,), is_on, declared)


def _together(where: str, sentence: str, declared: Mapping[str, Option]) -> Iterator[Wish]:
    found = TOGETHER.search(sentence)
    for name in (found[1] or where.lstrip("-"), found[2]) if found else ():
        if _is_flag(name, declared):
            yield _turned((name,), False, declared)


def _varied(sentence: str, declared: Mapping[str, Option]) -> Iterator[Wish]:
    found = VARIED.search(sentence)
    if found:
        names = tuple(name for name in found[2].split(", ") if name in declared)
        yield _turned(names, False, declared)
        yield _turned((found[1],), False, declared)


def _turned(names: tuple[str, ...], is_on: bool, declared: Mapping[str, Option]) -> Wish:
    values = {name: is_on if _is_flag(name, declared) else "" for name in names}
    if len(names) > 1:
        return Wish(text("Let captions stay as they are"), values)
    said = SAID.get((names[0], is_on))
    label = text(declared[names[0]].text.label)
    either = text("Turn on “{label}”", label=label) if is_on else text("Turn off “{label}”", label=label)
    return Wish(text(said) if said else either, values)


def _is_flag(name: str, declared: Mapping[str, Option]) -> bool:
    return name in declared and takes_no_value(declared[name])
