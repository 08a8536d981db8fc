"""Metadata values that hold JSON, Python literals or numbers as text: read without trust, never repaired in place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

MAX_COUNT = 2**53
LATEST = 253402300799.0  # the end of the year 9999


@dataclass(frozen=True)
class Parsed:
    """A value, or why there is none.

    Args:
        value: what the text says; None when it is not there or cannot be read.
        problem: a sentence for people; empty when there is none.
    """

    value: Any = None
    problem: str = ""


def parse_json_value(metadata: Mapping[str, str], key: str, kind: type) -> Parsed:
    """The JSON in a value, if it is of the kind (dict or list) that belongs there."""
    text = metadata.get(key)
    if text is None or text in ("", "None", "null"):
        return Parsed()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply or out of range"
        return Parsed(problem=f"{key} is unreadable: {reason}.")
    if value is None:
        return Parsed()
    if not isinstance(value, kind):
        return Parsed(problem=f"{key} is unreadable: it is not {'an object' if kind is dict else 'a list'}.")
    return Parsed(value)


def count_of(value: object) -> int | None:
    """A count that is one: a whole number from 0 on, also where a writer stored it as text or float."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and value.strip().isdecimal() and len(value.strip()) <= 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value <= MAX_COUNT else None


def number_of(text: str | None) -> float | None:
    """A finite number written as text."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def moment_of(text: str | None) -> str | None:
    """A unix time as "2025-03-01 18:20" (UTC), None when it is not one."""
    value = number_of(text)
    if value is None or not 0 < value < LATEST:
        return None
    return datetime.fromtimestamp(value, tz=timezone.utc).strftime("%Y-%m-%d %H:%M")


def is_said(text: str | None) -> bool:
    """True for a value that says something; sd-scripts writes "None" for what was not set."""
    return text is not None and text.strip() not in ("", "None", "null")
