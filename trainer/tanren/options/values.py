"""Texts and TOML values that need more than their type: sizes, ratios, ranges, suffixes.

Every function takes what the user typed (text from the command line, any TOML value from a file) and returns the value,
or raises ValueError with one sentence that says what was expected.
"""

from __future__ import annotations

import math
from typing import Any


def size_wh(value: Any) -> tuple[int, int]:
    """`512`, `"512"`, `"768,512"` or `[768, 512]` as (width, height) in pixels."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
    try:
        numbers = [_whole(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or any(number < 1 for number in numbers):
        raise ValueError(f"{value!r} is neither one number nor WIDTH,HEIGHT. Write 1024 or 832,1216.")
    return numbers[0], numbers[-1]


def count_or_ratio(value: Any) -> int | float:
    """A number of steps (whole), a ratio of all steps (below 1) or a percentage such as `10%`."""
    if isinstance(value, str) and value.strip().endswith("%"):
        return _ratio(value.strip()[:-1], value, 100.0)
    if isinstance(value, bool):
        raise ValueError(_COUNT_OR_RATIO.format(value))
    try:
        return _whole(value)
    except ValueError:
        return _ratio(value, value, 1.0)


_COUNT_OR_RATIO = "{!r} is neither a whole number of steps, nor a ratio below 1, nor a percentage such as 10%."


def _ratio(text: Any, original: Any, whole: float) -> float:
    try:
        ratio = float(text) / whole
    except (TypeError, ValueError):
        raise ValueError(_COUNT_OR_RATIO.format(original)) from None
    if not 0 <= ratio < 1:
        raise ValueError(_COUNT_OR_RATIO.format(original))
    return ratio


def number_range(value: Any) -> tuple[float, float]:
    """`"2.0,4.0"` or `[2.0, 4.0]` as (low, high), both positive."""
    parts = value.split(",") if isinstance(value, str) else value
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not LOW,HIGH. Write two numbers such as 2.0,4.0.") from None
    if not (0 < low <= high and math.isfinite(high)):
        raise ValueError(f"{value!r}: both numbers must be positive and the first must not be the larger one.")
    return low, high


def suffix(value: Any) -> str:
    """A file name's end; the leading dot is added when it is missing."""
    if not isinstance(value, str) or not value.strip(" ."):
        raise ValueError(f"{value!r} is not a file suffix such as .txt.")
    text = value.strip()
    return text if text.startswith(".") else f".{text}"


def lower_choice(value: Any) -> str:
    """Text in lower case, for names whose spelling varies in the wild."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a name.")
    return value.strip().lower()


def _whole(value: Any) -> int:
    """An int from an int or its text; 1.0 and True are refused."""
    if isinstance(value, str):
        return int(value.strip())
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(value)
