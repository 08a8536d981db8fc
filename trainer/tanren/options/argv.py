"""The command line, word by word, as kohya's users know it from argparse.

`--key value` and `--key=value`; a flag takes no value; a list takes all words up to the next option; a name may be
shortened as long as it stays unambiguous, and the exact name always wins. Unlike argparse it goes on after a mistake,
so that all of them come in one report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import Problems, UsageError
from ..formats.nearest import nearest
from .convert import Words, takes_list, takes_no_value
from .elsewhere import known_elsewhere
from .spec import Option


@dataclass(frozen=True)
class Given:
    """One option as it was typed."""

    option: Option
    words: Words


def read_argv(argv: Sequence[str], options: Mapping[str, Option], problems: Problems) -> list[Given]:
    """The options on a command line, in order; what cannot be understood goes to `problems`."""
    spelled = spellings(options)
    given: list[Given] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            problems.add(UsageError(where=word, what="This word belongs to no option.", fix=_stray_hint(given)))
            continue
        name, has_value, value = word[2:].partition("=")
        values = [value] if has_value else []
        option = _find(name, spelled, problems)
        if option is None:
            _skip_values(rest)
            continue
        if takes_no_value(option):
            if has_value:
                problems.add(_flag_with_value(option, value))
            given.append(Given(option, []))
            continue
        while rest and not has_value and not is_option_word(rest[0]) and (takes_list(option) or not values):
            values.append(rest.pop(0))
        if not values and not takes_list(option):
            problems.add(UsageError(where=f"--{option.name}", what="A value is missing after it."))
            continue
        given.append(Given(option, values))
    return given


def spellings(options: Mapping[str, Option]) -> dict[str, Option]:
    """Every way to write every flag, without dashes."""
    return {spelling: option for option in options.values() for spelling in (option.name, *option.text.aliases)}


def _find(name: str, spelled: Mapping[str, Option], problems: Problems) -> Option | None:
    if name in spelled:
        return spelled[name]
    where = f"--{name}"
    why = known_elsewhere(name, spelled)
    if why is not None:
        problems.add(
            UsageError(where=where, what="This command does not have the option.", why=why, fix="Leave it out.")
        )
        return None
    starting = sorted(known for known in spelled if known.startswith(name)) if name else []
    if len({spelled[known].name for known in starting}) == 1:
        return spelled[starting[0]]
    if starting:
        shown = ", ".join(f"--{known}" for known in starting[:6])
        problems.add(UsageError(where=where, what=f"The short form is ambiguous: it could be {shown}."))
        return None
    close = nearest(name, spelled)
    fix = f"Did you mean --{close}?" if close else "See --help for the options of this command."
    problems.add(UsageError(where=where, what="There is no such option.", fix=fix))
    return None


def is_option_word(word: str) -> bool:
    """True when argparse would read the word as an option: a dash in front, not a number, no space in its name."""
    return (
        word.startswith("-")
        and word != "-"
        and (" " not in word or re.match(r"--\w+=", word) is not None)
        and not re.fullmatch(r"-\d+(\.\d*)?([eE]-?\d+)?|-\.\d+", word)
    )


def _skip_values(rest: list[str]) -> None:
    while rest and not is_option_word(rest[0]):
        rest.pop(0)


def _flag_with_value(option: Option, value: str) -> UsageError:
    fix = f"Write --{option.name} alone, or leave it out to switch it off."
    return UsageError(where=f"--{option.name}", what=f"It is a flag and takes no value ({value!r}).", fix=fix)


def _stray_hint(given: Sequence[Given]) -> str:
    if given and given[-1].words and not takes_list(given[-1].option):
        return f"If it belongs to --{given[-1].option.name}, put quotes around the whole value."
    return "Options begin with two dashes."
