"""Train again like this, for LECO: what a file remembers of its prompts, as the tables of a prompt file."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ..formats.leco_prompts import NUMBERS, OPPOSITE, TEXTS, TRUTHS, is_size
from .values import parse_json_value

COMMAND_OF = {"sd1": "train_leco", "sd2": "train_leco", "sdxl": "sdxl_train_leco"}
COUNT, PREVIEW = "ss_leco_prompt_count", "ss_leco_preview"
# sd-scripts and this trainer name the size differently.
SIZES = ("resolution", "resolution_hw")


def changes_a_concept(metadata: Mapping[str, str]) -> bool:
    """True for a file that a LECO trainer wrote."""
    return COUNT in metadata


def remembered_prompts(metadata: Mapping[str, str]) -> tuple[dict[str, Any] | None, str]:
    """What was changed.

    Returns:
        the tables of a prompt file, None when the file tells no prompt; and a sentence about what is missing, or "".
    """
    entries = parse_json_value(metadata, PREVIEW, list).value or []
    pairs = [pair for pair in map(_pair, entries) if pair]
    if not pairs:
        return None, "The prompts: what was erased, strengthened or slid is not in the file."
    counted = metadata.get(COUNT, "")
    if counted.isdecimal() and int(counted) > len(pairs):
        return {"prompts": pairs}, f"Further prompts: there were {int(counted)}, the file tells the first {len(pairs)}."
    return {"prompts": pairs}, ""


def _pair(entry: Any) -> dict[str, Any]:
    """One entry of a prompt file; empty when it is none. The file may come from anybody."""
    if not isinstance(entry, dict) or not isinstance(entry.get("target"), str):
        return {}
    pair: dict[str, Any] = {key: entry[key] for key in TEXTS if isinstance(entry.get(key), str)}
    if entry.get("action") in OPPOSITE:
        pair["action"] = entry["action"]
    pair |= {key: float(entry[key]) for key in NUMBERS if _is_number(entry.get(key))}
    pair |= {key: entry[key] for key in TRUTHS if isinstance(entry.get(key), bool)}
    for sides in (entry.get(key) for key in SIZES):
        both: Any = [sides, sides] if _is_number(sides) else sides
        if is_size(both):
            pair["resolution"] = both[0] if both[0] == both[1] else both
    count = entry.get("batch_size")
    if isinstance(count, int) and not isinstance(count, bool) and count > 0:
        pair["batch_size"] = count
    return pair


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
