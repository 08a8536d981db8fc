"""JSON settings files: duplicate keys, NaN and files that nobody wrote by hand are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .limits import check_values, read_settings_text, too_deep


def read_json(path: Path) -> Any:
    """Read and parse a settings file.

    Raises:
        UsageError: unreadable, not UTF-8, larger than 4 MiB, a syntax error (file and line), a duplicate key, NaN,
            infinity or nesting deeper than 32.
    """
    return parse_json(read_settings_text(path), str(path))


def parse_json(text: str, where: str) -> Any:
    """Parse JSON text; `where` names it in messages."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(
                where=where, what=f"The key {twice!r} occurs twice in one object.", fix="Keep one of them."
            )
        return table

    try:
        data = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise too_deep(where) from None
    except json.JSONDecodeError as error:
        raise UsageError(where=f"{where}:{error.lineno}", what=f"This is not valid JSON: {error}.") from None
    check_values(data, where)
    return data
