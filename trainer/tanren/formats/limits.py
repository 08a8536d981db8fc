"""What every settings file has in common: a size that a person can have written, finite numbers, UTF-8."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..errors import UsageError

MAX_BYTES = 4 << 20
MAX_DEPTH = 32


def read_settings_text(path: Path) -> str:
    """Text of a settings file without its byte order mark.

    Raises:
        UsageError: missing, not a file, larger than 4 MiB, or not UTF-8.
    """
    try:
        if path.is_dir():
            raise UsageError(where=str(path), what="This is a folder, a file was expected.")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UsageError(where=str(path), what=f"The file has {size} bytes; settings files end at {MAX_BYTES}.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(where=str(path), what="There is no such file.", fix="Check the path.") from None
    except OSError as error:
        raise UsageError(where=str(path), what=f"The file cannot be read: {error.strerror or error}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            where=f"{path}:{line}",
            what=f"The file is not UTF-8 (byte {error.start}).",
            fix="Save it again as UTF-8.",
        ) from None


def check_values(data: Any, where: str) -> None:
    """Refuse NaN, infinity and nesting deeper than 32 levels.

    Raises:
        UsageError: names the value by its path inside the file.
    """
    waiting: list[tuple[Any, str, int]] = [(data, "", 0)]
    while waiting:
        value, name, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise too_deep(where)
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(where=where, what=f"{name or 'The value'} is {value}; a finite number is needed.")
        if isinstance(value, dict):
            waiting += [(part, f"{name}.{key}" if name else str(key), depth + 1) for key, part in value.items()]
        elif isinstance(value, list):
            waiting += [(part, f"{name}[{index}]", depth + 1) for index, part in enumerate(value)]


def too_deep(where: str) -> UsageError:
    """The problem of a file whose tables or lists are nested without end."""
    return UsageError(where=where, what=f"Tables and lists are nested deeper than {MAX_DEPTH} levels.")
