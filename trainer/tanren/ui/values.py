"""From what stands in a form's fields to the options of a job, and back.

Raw values are what form components give: text, numbers (3.0 for 3), truths, None. Options are what a job's spec holds:
JSON, only those that differ from the default, by kohya's names; a dataset and prompts typed into the form stand there
as content (`options/contents.py`). Both directions lose nothing: options -> raw -> options are the same again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Problems, UsageError
from ..formats.json_file import parse_json
from ..formats.nearest import nearest
from ..formats.toml_file import parse_toml
from ..options.contents import CONCEPTS, DATASET, PROMPTS, SUFFIXES, as_text
from ..options.convert import from_file, shown
from ..options.spec import Option
from .fields import (
    CONCEPT_KIND,
    DATASET_KIND,
    FLAG,
    INTEGER,
    LIST,
    NUMBER,
    PATH,
    PROMPT,
    Field,
    fields,
    form_options,
    kind_of,
)

__all__ = ["Field", "fields", "option_value", "to_options", "to_raw"]

# A line of `key=value` pairs, as the command line has them, is taken apart at these places.
BETWEEN_PAIRS = re.compile(r"\s+(?=[A-Za-z_]\w*=)")
SEVERAL_QUOTED = re.compile(r'("[^"]*"\s*){2,}')
# Contents that are tables, as sentences call them, and how such a text begins.
TABLES = {DATASET_KIND: "The dataset", CONCEPT_KIND: "The prompt file"}
STARTS = {DATASET_KIND: "Start with [[datasets]].", CONCEPT_KIND: "Start with [[prompts]] or [[targets]]."}
LONGEST_TEXT, LONGEST_CONTENT = 64 << 10, 4 << 20


def to_options(command: str, raw: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The options that a form's values mean: only those that differ from the default, as JSON.

    Args:
        command: such as "train_network".
        raw: by field name; fields that are missing have their default.
        problems: every value that cannot be read goes here, with `--option` as its place.
    """
    declared = form_options(command)
    options: dict[str, Any] = {}
    for name, value in raw.items():
        option = declared.get(name)
        try:
            if option is None:
                raise _unknown(name, declared)
            read = _read(option, value)
        except UsageError as problem:
            problems.add(problem)
            continue
        if read is not None and read != as_json(option.default):
            options[name] = read
    return options


def to_raw(command: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields of a form show for some options; all fields, those without an option with their default."""
    return {name: _raw(option, options.get(name)) for name, option in form_options(command).items()}


def option_value(option: Option, value: Any, where: str) -> Any:
    """An option's value as a job's spec holds it, from JSON or TOML; contents stay as they are.

    Raises:
        UsageError: not a value of this option.
    """
    kind = kind_of(option)
    if kind in TABLES and isinstance(value, Mapping):
        return _only_json(dict(value), where, kind)
    if kind == PROMPT and isinstance(value, (list, tuple)):
        if not all(isinstance(line, str) and "\n" not in line for line in value):
            raise UsageError(where=where, what="Prompts are a list of lines.", fix='Write ["a cat", "a dog"].')
        return list(value)
    return as_json(from_file(option, list(value) if isinstance(value, tuple) else value, where))


def as_json(value: Any) -> Any:
    """A parsed value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def _unknown(name: str, declared: Mapping[str, Option]) -> UsageError:
    close = nearest(name, declared)
    return UsageError(
        where=f"--{name}", what="There is no such option.", fix=f"Did you mean --{close}?" if close else ""
    )


def _read(option: Option, raw: Any) -> Any:
    """The value a field means; None for one that was left alone."""
    kind, where = kind_of(option), f"--{option.name}"
    if isinstance(raw, str):
        _check_text(raw, where, LONGEST_CONTENT if kind in READERS else LONGEST_TEXT)
    if kind in READERS:
        raw = READERS[kind](raw, where)
    elif kind == LIST:
        raw = _entries(option, raw)
    elif kind == PATH:
        raw = unquoted(raw) if isinstance(raw, str) else raw
    elif isinstance(raw, str) and (kind != "text" or option.text.parse is not None):
        raw = raw.strip()
    elif isinstance(raw, float) and option.text.parse is not None and raw.is_integer():
        raw = int(raw)
    if raw is None or raw == "" or (kind != FLAG and isinstance(raw, (list, dict)) and not raw):
        return None
    return option_value(option, raw, where)


def _raw(option: Option, value: Any) -> Any:
    kind = kind_of(option)
    if kind in READERS:
        return _raw_content(value)
    if value is None:
        value = as_json(option.default)
    try:
        value = option_value(option, value, "") if value is not None else None
    except UsageError:
        # Somebody else wrote it; the field shows it, so that it can be mended.
        return value if isinstance(value, (str, bool, int, float)) else json.dumps(value, ensure_ascii=False)
    if kind == LIST:
        return "\n".join(_line(option, part) for part in value)
    if kind in (FLAG, NUMBER, INTEGER):
        return value
    if value is None:
        return ""
    if kind == PATH:
        return value if unquoted(value) == value else f'"{value}"'
    return shown(tuple(value) if isinstance(value, list) else value)


def _check_text(text: str, where: str, longest: int) -> None:
    if len(text) > longest:
        raise UsageError(where=where, what=f"The text has {len(text)} characters; at most {longest} are possible.")
    odd = "NUL" if "\0" in text else "half characters" if re.search("[\ud800-\udfff]", text) else ""
    if odd:
        raise UsageError(where=where, what=f"The text contains {odd}.", fix="Type it again.")


def unquoted(path: str) -> str:
    """A path as it was meant: without the blanks and the quotes that copying it brings along."""
    text = path.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _entries(option: Option, raw: Any) -> Any:
    """The entries of a list field: one a line, or several in the ways people write them on a command line."""
    if not isinstance(raw, str):
        return raw
    return [entry for line in raw.splitlines() for entry in _line_entries(option, line.strip()) if line.strip()]


def _line_entries(option: Option, line: str) -> list[str]:
    if line.startswith('"'):
        try:
            text = json.loads(line)
        except ValueError:
            text = None
        if isinstance(text, str):
            return [text]
        if SEVERAL_QUOTED.fullmatch(line):
            return re.findall(r'"([^"]*)"', line)
    if option.text.path:
        return [line]
    if "=" not in line:
        return [part for part in re.split(r"[\s,]+", line) if part]
    return BETWEEN_PAIRS.split(line)


def _line(option: Option, entry: Any) -> str:
    """An entry on a line of its own, quoted when it would not be read as itself."""
    text = shown(entry)
    is_plain = len(text.splitlines()) == 1 and text == text.strip() and _line_entries(option, text) == [text]
    return text if is_plain else json.dumps(text)


def _prompt_content(raw: Any, where: str) -> Any:
    """A prompt file's path, or the lines that were typed instead of one."""
    if not isinstance(raw, str) or is_path_of(raw, SUFFIXES[PROMPTS]):
        return unquoted(raw) if isinstance(raw, str) else raw
    return [line for line in raw.splitlines() if line.strip()]


def _dataset_content(raw: Any, where: str) -> Any:
    """A dataset file's path, or the tables that were typed instead of one."""
    return _tables(raw, where, DATASET, DATASET_KIND)


def _concept_content(raw: Any, where: str) -> Any:
    """The path of a file of LECO prompts, or the tables that were typed instead of one."""
    return _tables(raw, where, CONCEPTS, CONCEPT_KIND)


def _tables(raw: Any, where: str, name: str, kind: str) -> Any:
    if not isinstance(raw, str) or is_path_of(raw, SUFFIXES[name]):
        return unquoted(raw) if isinstance(raw, str) else raw
    if not raw.strip():
        return None
    data = parse_json(raw, where) if raw.lstrip().startswith("{") else parse_toml(raw, where)
    if not isinstance(data, dict):
        raise UsageError(where=where, what=f"{TABLES[kind]} is not a table.", fix=STARTS[kind])
    return data


def is_path_of(text: str, suffixes: tuple[str, ...]) -> bool:
    """True for a single line that ends like a file of these kinds; content ends with a line break or has several."""
    return "\n" not in text and unquoted(text).lower().endswith(suffixes)


def _raw_content(value: Any) -> str:
    """A file's path, quoted when it would not be read as itself, or the content as text."""
    if value is None:
        return ""
    return f'"{value}"' if isinstance(value, str) and unquoted(value) != value else as_text(value)


def _only_json(data: dict[str, Any], where: str, kind: str) -> dict[str, Any]:
    """The tables, or a complaint about a date, which TOML knows and JSON does not."""
    try:
        json.dumps(data, allow_nan=False)
    except (TypeError, ValueError):
        what = f"{TABLES[kind]} holds a date, or a number that is not finite."
        raise UsageError(where=where, what=what) from None
    return data


READERS: dict[str, Callable[[Any, str], Any]] = {
    PROMPT: _prompt_content,
    DATASET_KIND: _dataset_content,
    CONCEPT_KIND: _concept_content,
}
