"""The words in which options are declared, and the settings they become.

A group is a frozen dataclass whose fields are the options: the name is the flag and the TOML key; type, limits and text
serve the parser, the form, the reference, the checks and the saved metadata.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, get_type_hints

Group = TypeVar("Group")


@dataclass(frozen=True, kw_only=True)
class OptionText:
    """Everything about an option that its name, type and default do not say.

    Args:
        help: one or two sentences for the form and the reference.
        minimum, maximum: inclusive limits of a number.
        choices: the only values accepted.
        level: who needs it: "basic", "advanced" or "expert".
        saved_as: metadata key that records the value.
        parse: turns the user's text or TOML value into the value; raises ValueError with a sentence.
        secret: never written to specs, logs or configs.
        variable: of the environment, that holds a secret instead; not given: the name in capitals.
        no_effect: accepted for kohya's sake; the sentence says why nothing happens.
        aliases: other spellings of the flag on the command line, without dashes in front.
        written: what a value looks like, such as "WIDTH,HEIGHT", where the type does not say it.
        path: "file", "folder" or "file or folder" for an option that names one.
        label: a few words that name it in a form.
        suggestions: values that a form offers; others are accepted as well.
    """

    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str | int, ...] = ()
    level: str = "advanced"
    saved_as: str | None = None
    parse: Callable[[Any], Any] | None = None
    secret: bool = False
    variable: str = ""
    no_effect: str = ""
    aliases: tuple[str, ...] = ()
    written: str = ""
    path: str = ""
    label: str = ""
    suggestions: tuple[str, ...] = ()


def option(default: Any, help: str, **text: Any) -> Any:
    """Declare one option: its default and its `OptionText`."""
    return field(default=default, metadata={"option": OptionText(help=help, **text)})


@dataclass(frozen=True)
class Option:
    """One declared option as the parser sees it."""

    name: str
    group: type
    type: Any
    default: Any
    text: OptionText

    @property
    def variable(self) -> str:
        """The environment variable that a secret should stand in."""
        return self.text.variable or self.name.upper()


@dataclass(frozen=True)
class Requires:
    """`option`, when set, needs `other`; with `warns` the run goes on without it."""

    option: str
    other: str
    because: str
    warns: bool = False


@dataclass(frozen=True)
class Conflicts:
    """`option` and `other` must not both be set; with `warns` the run goes on all the same."""

    option: str
    other: str
    because: str
    warns: bool = False


@dataclass(frozen=True)
class Refuses:
    """`option` must not be set for what this command trains; with `warns` it is said to change nothing."""

    option: str
    because: str
    warns: bool = False


def options_of(group: type) -> tuple[Option, ...]:
    """The options of a group, in the order they are declared."""
    return _declared(group)


@cache
def _declared(group: type) -> tuple[Option, ...]:
    """Kept, because a live check asks for them many times and reading the annotations of all groups takes 10 ms."""
    hints = get_type_hints(group)
    declared = [(part, part.metadata.get("option")) for part in dataclasses.fields(group)]
    return tuple(Option(part.name, group, hints[part.name], part.default, text) for part, text in declared if text)


class Settings:
    """All option groups of one run, by their class; never changed after parsing.

    Args:
        command: name of the command, such as "train_network".
        groups: one instance per group class.
        given: names of the options that the user set, on the command line or in a config file.
    """

    def __init__(self, command: str, groups: Sequence[Any], given: frozenset[str] = frozenset()) -> None:
        self.command = command
        self.given = given
        self._groups = {type(group): group for group in groups}

    def __getitem__(self, group: type[Group]) -> Group:
        """The group, or the one that refines it; one that the command does not have is as if nothing in it was set."""
        found = self._groups.get(group) or next((one for one in self.groups() if isinstance(one, group)), None)
        return group() if found is None else found

    def __contains__(self, group: type) -> bool:
        return any(issubclass(own, group) for own in self._groups)

    def groups(self) -> tuple[Any, ...]:
        """One instance per group, in the order of the command."""
        return tuple(self._groups.values())

    def flat(self) -> dict[str, Any]:
        """Every option by name, secrets included; whoever writes it out leaves those away."""
        return {
            option.name: getattr(group, option.name)
            for kind, group in self._groups.items()
            for option in options_of(kind)
        }
