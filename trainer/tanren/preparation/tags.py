"""Captions as tags, and what can be done to them: pure functions from one caption to another.

A tag is what stands between two commas, without blanks at its ends. Tags are written with a comma and a space between
them. A caption that an operation leaves as it was keeps its own spelling, blanks and all.
"""

from __future__ import annotations

SEPARATOR = ","
JOINED = ", "


def split_tags(text: str) -> list[str]:
    """The tags of a caption, empty ones left out."""
    return [tag for part in text.split(SEPARATOR) if (tag := part.strip())]


def join_tags(tags: list[str]) -> str:
    """The caption of these tags."""
    return JOINED.join(tags)
