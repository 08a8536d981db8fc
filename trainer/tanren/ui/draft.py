"""What a browser keeps of a half-filled form, so that reloading the page loses nothing.

The browser hands it back as it was, or as anybody made it: it is a proposal for fields and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# What stands in an attribute of the page is cut off behind this many characters.
LONGEST = 10_000


@dataclass(frozen=True)
class Draft:
    """Values of fields that somebody had typed or chosen.

    Args:
        preset: text of the preset in the list.
        fields: by name; those that are not in it hold what they hold at first.
    """

    preset: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


def draft_text(raw: Mapping[str, Any], preset: str, usual: Mapping[str, Any]) -> str:
    """The draft as text; empty when it is too long to be kept.

    Args:
        raw: what the fields hold.
        preset: that was chosen.
        usual: what fields hold when nobody did anything; only differences are kept.
    """
    fields = {name: value for name, value in raw.items() if _plain(value) != _plain(usual.get(name))}
    text = json.dumps({"preset": preset, "fields": fields}, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= LONGEST else ""


def read_draft(text: str, usual: Mapping[str, Any]) -> Draft | None:
    """The draft that a browser hands back; None for none, and for a text that is none."""
    try:
        data = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("fields"), dict):
        return None
    fields = {name: value for name, value in data["fields"].items() if name in usual and _is_value(value)}
    preset = data.get("preset")
    return Draft(preset if isinstance(preset, str) else "", fields)


def _is_value(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _plain(value: Any) -> Any:
    """Empty fields are alike, and a number is its text."""
    return value if isinstance(value, bool) else "" if value is None else str(value)
