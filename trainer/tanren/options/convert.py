"""One value, from the command line or from a file, checked against the declaration of its option."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args, get_origin

from ..errors import UsageError
from ..formats.nearest import nearest
from ..paths import control_characters, home_expanded, refuse_overlong
from .spec import Option

Words = list[str]
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def takes_no_value(option: Option) -> bool:
    """True for a pure flag."""
    return option.type is bool


def takes_list(option: Option) -> bool:
    """True when several words follow the flag."""
    return get_origin(option.type) is tuple and get_args(option.type)[-1] is Ellipsis


def from_words(option: Option, words: Words, where: str) -> Any:
    """The value of an option from what follows its flag: nothing, one word, or several for a list.

    Raises:
        UsageError: not of the option's type, not among its choices, or outside its limits.
    """
    if takes_no_value(option):
        return True
    if takes_list(option):
        return tuple(_checked(option, _single(option, word, where), where) for word in words)
    return _value(option, words[0], where)


def from_file(option: Option, value: Any, where: str) -> Any:
    """The value of an option from a TOML or JSON value, by the same rules; numbers may be written as text."""
    if takes_list(option):
        parts = value if isinstance(value, list) else [value]
        return tuple(_checked(option, _single(option, part, where), where) for part in parts)
    return _value(option, value, where)


def _value(option: Option, value: Any, where: str) -> Any:
    # Scripts write --vae="$VAE" and forms write vae = "" when nothing is chosen.
    if value == "" and option.default is None:
        return None
    if option.text.parse is not None:
        try:
            return _checked(option, option.text.parse(value), where)
        except ValueError as error:
            raise UsageError(where=where, what=str(error)) from None
    return _checked(option, _single(option, value, where), where)


def _single(option: Option, value: Any, where: str) -> Any:
    kind = element_type(option)
    try:
        return _of_type(kind, value)
    except (ValueError, OverflowError):
        # JSON may hold whole numbers that no float can.
        pass
    fix = f"The default is {shown(option.default)}." if option.default not in (None, "", (), False) else ""
    if kind is str:
        fix = f'Put quotes around it: {option.name} = "{value}".'
    raise UsageError(where=where, what=f"{value!r} is not {KINDS[kind]}.", fix=fix)


def element_type(option: Option) -> type:
    """The plain type of a value, or of the parts of a list: int, float, str or bool."""
    kind: Any = option.type
    while get_args(kind):
        kind = next(part for part in get_args(kind) if part is not type(None))
    assert isinstance(kind, type)
    return kind


def _of_type(kind: type, value: Any) -> Any:
    if kind is str:
        if isinstance(value, str):
            return value
    elif kind is bool:
        if isinstance(value, bool):
            return value
    elif not isinstance(value, bool) and isinstance(value, (str, int, float)):
        # int(1.5) would cut the fraction off in silence.
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError(value)
        return kind(value)
    raise ValueError(value)


def _checked(option: Option, value: Any, where: str) -> Any:
    text = option.text
    if text.choices and value not in text.choices:
        close = nearest(str(value), [str(choice) for choice in text.choices])
        raise UsageError(
            where=where,
            what=f"{value!r} is not one of {', '.join(map(str, text.choices))}.",
            fix=f"Did you mean {close}?" if close else "",
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_limits(option, value, where)
    if text.path and isinstance(value, str):
        check_no_control_characters(value, where)
        # --metadata_thumbnail takes a whole picture as a data URL.
        if not value.startswith("data:"):
            refuse_overlong(value, where)
        # Shells leave ~ alone behind an equals sign, and files know no shell.
        home = home_expanded(value)
        return value if home == Path(value) else str(home)
    return value


def _check_limits(option: Option, value: float, where: str) -> None:
    low, high = option.text.minimum, option.text.maximum
    # isfinite() cannot take whole numbers that no float can hold.
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(where=where, what=f"{value} is not a finite number.")
    if (low is not None and value < low) or (high is not None and value > high):
        limits = f"between {low:g} and {high:g}" if None not in (low, high) else _one_limit(low, high)
        raise UsageError(where=where, what=f"{value} is out of range: it must be {limits}.")


def _one_limit(low: float | None, high: float | None) -> str:
    return f"at least {low:g}" if low is not None else f"at most {high:g}"


def check_no_control_characters(path: str, where: str) -> None:
    """Refuse a path with control characters, which backslashes inside double quotes turn into.

    Raises:
        UsageError: the path, shown with its escapes.
    """
    if control_characters(path):
        raise UsageError(
            where=where,
            what=f"The path {path!r} has control characters in it.",
            why="Inside double quotes \\n, \\t and the like are read as line break, tab, …",
            fix="Use 'single quotes' or / in paths.",
        )


def shown(value: Any) -> str:
    """A value as a person would type it."""
    if isinstance(value, tuple):
        return ",".join(f"{part}" for part in value)
    return str(value)


def as_file_value(option: Option, value: Any) -> Any:
    """A value as --config_file has it: sizes and ranges are text there, lists are lists."""
    if isinstance(value, tuple):
        return list(value) if takes_list(option) else shown(value)
    return value
