"""Texts of strangers made fit to be shown: no control or direction characters, not endless."""

from __future__ import annotations

import unicodedata

SHOWN = 10_000
# Marks that reorder what follows: a file name may otherwise read as another one.
_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str, limit: int = SHOWN) -> str:
    """The text without control and direction characters, cut at `limit`; line ends and tabs stay."""
    cut = text[:limit]
    shown = "".join(letter for letter in cut if letter in "\n\t" or not _is_hidden(letter))
    return shown if len(text) <= limit else f"{shown}… ({len(text)} characters)"


def one_line(text: str, limit: int = 200) -> str:
    """The same on one line."""
    return " ".join(plain(text, limit).split())


def _is_hidden(letter: str) -> bool:
    return letter in _BIDI or unicodedata.category(letter) in ("Cc", "Cs")
