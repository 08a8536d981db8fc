"""TOML files: read with the line of every key at hand, and written flat.

Reading takes Python's own tomllib (3.11 and newer: TOML 1.0 and line numbers), else the `toml` package, else the copy
of it in the trainer's environment, loaded by its path. Writing needs none of them: settings are flat, and TOML's basic
strings are written like JSON's. Nothing else in the package touches TOML.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import EnvironmentProblem, UsageError
from .limits import check_values, read_settings_text, too_deep

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class TomlFile:
    """A parsed file that still knows its lines."""

    path: Path
    text: str
    data: dict[str, Any]

    def where(self, *names: str | int) -> str:
        """`file:line` of a value, such as `where("datasets", 0, "subsets", 1, "image_dir")`; `file` when not found."""
        line = line_of(self.text, names)
        return f"{self.path}:{line}" if line else str(self.path)


def read_toml(path: Path) -> dict[str, Any]:
    """The data of a file; raises like `open_toml`."""
    return open_toml(path).data


def open_toml(path: Path) -> TomlFile:
    """Read and parse a file.

    Raises:
        UsageError: unreadable, not UTF-8, larger than 4 MiB, a syntax error or duplicate key (file and line), NaN,
            infinity or nesting deeper than 32.
        EnvironmentProblem: this Python has nothing that reads TOML.
    """
    text = read_settings_text(path)
    data = parse_toml(text, str(path))
    return TomlFile(path, text, data)


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Parse TOML text; `where` names it in messages."""
    try:
        reader = _reader()
    except EnvironmentProblem:
        data = plain_tables(text)
        if data is None:
            raise
        check_values(data, where)
        return data
    try:
        data = reader.loads(text)
    except RecursionError:
        raise too_deep(where) from None
    except ValueError as error:
        # Both libraries derive their error from ValueError and put the line into the text.
        line = re.search(r"line (\d+)", str(error))
        raise UsageError(
            where=f"{where}:{line[1]}" if line else where,
            what=f"This is not valid TOML: {error}.",
            fix=_syntax_hint(text, int(line[1]) if line else 0),
        ) from None
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        # The `toml` package fails in these ways on some malformed files.
        raise UsageError(where=where, what=f"This is not valid TOML ({error!r}).") from None
    check_values(data, where)
    return data


def plain_tables(text: str) -> dict[str, Any] | None:
    """The data of a file that keeps to what is written here: headers, and `key = value` with values as JSON has them.

    It lets presets and forms work where nothing else reads TOML. None for any other file.
    """
    data: dict[str, Any] = {}
    table = data
    for line in map(str.strip, text.split("\n")):
        header = re.fullmatch(r"\[([\w.-]+)\]|\[\[([\w.-]+)\]\]", line)
        pair = re.fullmatch(r"([A-Za-z0-9_-]+)\s*=\s*(.+)", line)
        if not line or line.startswith("#"):
            continue
        if header:
            inner = _opened(data, (header[1] or header[2]).split("."), is_list=header[1] is None)
        elif pair and pair[1] not in table:
            inner = _with_value(table, pair[1], pair[2])
        else:
            inner = None
        if inner is None:
            return None
        table = inner
    return data


def _opened(data: dict[str, Any], names: list[str], *, is_list: bool) -> dict[str, Any] | None:
    """The table that a header opens, made in `data`; None when there is something else in its place."""
    table: Any = data
    for name in names[:-1]:
        table = table.setdefault(name, {})
        table = table[-1] if isinstance(table, list) and table else table
        if not isinstance(table, dict):
            return None
    new: dict[str, Any] = {}
    if not is_list:
        return table.setdefault(names[-1], new) if names[-1] not in table else None
    tables = table.setdefault(names[-1], [])
    if not isinstance(tables, list) or (tables and not isinstance(tables[-1], dict)):
        return None
    tables.append(new)
    return new


def _with_value(table: dict[str, Any], key: str, text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if value is None or isinstance(value, dict):
        return None
    table[key] = value
    return table


def _syntax_hint(text: str, line: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and "\\" in lines[line - 1]:
        return "Backslashes are special inside double quotes: use 'single quotes' or / in paths."
    return ""


def _reader() -> ModuleType:
    for name in ("tomllib", "toml"):
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    for pattern in (".venv/lib/python3*/site-packages", ".venv/Lib/site-packages"):
        for folder in sorted(REPOSITORY.glob(pattern)):
            if (folder / "toml" / "__init__.py").is_file():
                return _load_by_path(folder / "toml")
    raise EnvironmentProblem(
        what="This Python has nothing that reads TOML files.",
        fix="Make the trainer's environment first: python launch.py setup.",
    )


def _load_by_path(package: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "toml", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        raise EnvironmentProblem(what=f"{package} cannot be loaded.", fix="Run python launch.py setup again.")
    module = importlib.util.module_from_spec(spec)
    # The package imports its own parts by the name `toml`.
    sys.modules["toml"] = module
    spec.loader.exec_module(module)
    return module


def line_of(text: str, names: tuple[str | int, ...]) -> int | None:
    """Line (from 1) on which a value is set, the line of its table's header when the key is not found, or None.

    It reads headers and `key =` at the start of a line: enough to point a person to the place.
    """
    *table, key = names
    current: list[str | int] = []
    counts: dict[tuple[str | int, ...], int] = {}
    header_line = None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            current = _table_of(header[2], header[1] == "[[", counts)
            if current[: len(names)] == list(names) or current == table:
                header_line = header_line or number
        elif current == table and re.match(rf"\s*[\"']?{re.escape(str(key))}[\"']?\s*=", line):
            return number
    return header_line


def _table_of(header: str, is_array: bool, counts: dict[tuple[str | int, ...], int]) -> list[str | int]:
    place: list[str | int] = []
    parts = [part.strip().strip("\"'") for part in header.split(".")]
    for index, part in enumerate(parts):
        place.append(part)
        name = tuple(place)
        if is_array and index == len(parts) - 1:
            counts[name] = counts.get(name, -1) + 1
        if name in counts:
            place.append(counts[name])
    return place


def write_flat(values: Mapping[str, object]) -> str:
    """`key = value` lines of text, numbers, truths and lists of them, in the order given."""
    return "".join(f"{key} = {_written(value)}\n" for key, value in values.items())


def write_nested(data: Mapping[str, object]) -> str:
    """Any tables as text: plain values first, then `[tables]` and `[[lists of tables]]`; None is left out."""
    return "".join(_table_lines(data, ())).lstrip("\n")


def _table_lines(table: Mapping[str, object], place: tuple[str, ...]) -> Iterator[str]:
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping) or _is_tables(value)}
    for key, value in table.items():
        if key not in tables and value is not None:
            yield f"{_key(key)} = {_written(value)}\n"
    for key, value in tables.items():
        inner = (*place, _key(key))
        header = ".".join(inner)
        if isinstance(value, Mapping):
            yield f"\n[{header}]\n"
            yield from _table_lines(value, inner)
        elif isinstance(value, list):
            for part in value:
                yield f"\n[[{header}]]\n"
                yield from _table_lines(part, inner)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, Mapping) for part in value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _written(name)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_written(part) for part in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_written(part)}" for name, part in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
