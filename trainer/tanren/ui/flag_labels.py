"""Sentences of the checks with the labels of the form's fields where they speak of flags.

The checks serve the command line too, so they say `--min_side`; a form has no such words, it has a field with a label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from ..commands import COMMANDS
from .fields import fields
from .simple_view import OWN
from .words import Words, text

# A value ends before the sign that ends the sentence.
FLAG = re.compile(r"--(\w+)(?:=(\S*[^\s.,;:)]))?")


def labelled(sentence: str, words: Words) -> str:
    """The sentence, in the language of `words` already, with a label for each flag that is a field; others stay."""

    def label(found: re.Match[str]) -> str:
        known = _labels().get(found[1])
        if known is None:
            return found[0]
        if found[2] is None:
            return words(text("“{label}”", label=text(known)))
        return words(text("“{label}” = {value}", label=text(known), value=found[2]))

    return FLAG.sub(label, sentence)


@cache
def _labels() -> Mapping[str, str]:
    return {field.name: field.label for command in reversed(COMMANDS) for field in (*fields(command), *OWN)}
