"""The entries of a safetensors header: their limits, their kinds of number, and the quick way through many of them.

A library of LoRAs is thousands of headers with thousands of entries each, and nearly all are spelled letter for letter
as the safetensors library spells them. Those are read here in a fifth of the time that the strict reader takes.
Anything else, right or wrong, is left to the strict reader, which also has the words for what is wrong.
"""

from __future__ import annotations

import json
import re
import sys
from math import prod
from typing import NamedTuple, NoReturn

MAX_TENSORS = 100_000
MAX_NAME = 512
MAX_RANK = 8
MAX_DIM = 2**31
MAX_DIGITS = 40

# Widest first, as the library orders tensors in the file.
BITS = {
    "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F32": 32, "U32": 32, "I32": 32, "BF16": 16, "F16": 16, "U16": 16,
    "I16": 16, "F8_E8M0": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8, "F6_E3M2": 6, "F6_E2M3": 6, "F4": 4,
    "BOOL": 8,
}  # fmt: skip
METADATA = "__metadata__"
_START = '{"__metadata__":'
_NUMBER = r"(?:0|[1-9][0-9]{0,17})"
_ENTRY = re.compile(
    rf'("([^"\\\x00-\x1f]{{1,{MAX_NAME}}})":\{{"dtype":"([A-Z0-9_]{{1,16}})","shape":\[({_NUMBER}(?:,{_NUMBER})*|)\],'
    rf'"data_offsets":\[({_NUMBER}),({_NUMBER})\]\}})'
)


class TensorEntry(NamedTuple):
    """Where one tensor lies in the payload: `begin` to `end` in bytes."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def short_int(digits: str) -> int:
    """A whole number of JSON; for Pythons that take minutes to read one of millions of digits.

    Raises:
        ValueError: it is larger than any that a file needs.
    """
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


# Newer Pythons refuse such numbers themselves, and a function of ours would be called for each number of the header.
INT = int if hasattr(sys, "get_int_max_str_digits") else short_int


def quick_content(text: bytes) -> tuple[dict[str, str], dict[str, TensorEntry]] | None:
    """Metadata, their sizes not yet checked, and entries of a header that is spelled as the library does it; else None.

    Args:
        text: the JSON of the header.
    """
    # Lone surrogates can only be spelled with a backslash; UTF-8 has none.
    if b"\\ud" in text or b"\\uD" in text:
        return None
    try:
        shown = text.decode("utf-8").rstrip(" ")
        metadata, place = _metadata(shown)
    except (ValueError, RecursionError):
        return None
    entries = _entries(shown, place)
    return None if entries is None else (metadata, entries)


def _metadata(text: str) -> tuple[dict[str, str], int]:
    """The metadata, and where they end."""
    if not text.startswith(_START):
        return {}, 1
    # Objects become tuples of pairs, so that doubled keys are still there to be seen.
    decoder = json.JSONDecoder(object_pairs_hook=tuple, parse_int=_odd, parse_float=_odd, parse_constant=_odd)
    pairs, place = decoder.raw_decode(text, len(_START))
    metadata = dict(pairs) if type(pairs) is tuple else None
    if metadata is None or len(metadata) != len(pairs) or not all(type(said) is str for said in metadata.values()):
        raise ValueError("not an object of texts, or with doubled keys")
    return metadata, place


def _entries(text: str, place: int) -> dict[str, TensorEntry] | None:
    """Checked entries, or None when one is spelled in another way; where they lie is not checked."""
    found = _ENTRY.findall(text, place)
    comma = "," if place > 1 and found else ""
    if len(found) > MAX_TENSORS or text[place:] != comma + ",".join([one[0] for one in found]) + "}":
        return None
    shapes: dict[tuple[str, str], tuple[tuple[int, ...], int]] = {}
    entries: dict[str, TensorEntry] = {}
    last, begin = "0", 0
    for _, name, dtype, shape, first, end_text in found:
        known = shapes.get((dtype, shape))
        if known is None:
            known = shapes[dtype, shape] = _shape(dtype, shape)
        end = int(end_text)
        if first != last:
            begin = int(first)
        if end - begin != known[1]:
            return None
        entries[name] = TensorEntry(dtype, known[0], begin, end)
        last, begin = end_text, end
    return entries if len(entries) == len(found) and METADATA not in entries else None


def _shape(dtype: str, text: str) -> tuple[tuple[int, ...], int]:
    """Dimensions and bytes of a tensor; -1 byte for one that the strict reader has to look at."""
    shape = tuple(map(int, text.split(","))) if text else ()
    bits = prod(shape) * BITS.get(dtype, 0)
    is_usual = dtype in BITS and bits % 8 == 0 and len(shape) <= MAX_RANK and max(shape, default=0) <= MAX_DIM
    return shape, bits // 8 if is_usual else -1


def _odd(text: str) -> NoReturn:
    raise ValueError(f"{text} has no place in metadata")
