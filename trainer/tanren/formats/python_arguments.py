"""`key=value` words whose values are Python literals: `--optimizer_args` and `--lr_scheduler_args`.

`weight_decay=0.01`, `betas=0.9,0.999` (a tuple), `decouple=True`, `decay_type='cosine'`. Nothing is evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from ..errors import UsageError


def parse_arguments(words: Iterable[str], where: str) -> dict[str, Any]:
    """Arguments by name, in the order given; `where` is the option that the words belong to.

    Raises:
        UsageError: not exactly one `=`, a key that is no argument's name, a key given twice, or no Python literal.
    """
    arguments: dict[str, Any] = {}
    for word in words:
        key, value = _split(word, where)
        if key in arguments:
            raise UsageError(where=where, what=f"{key} is given twice.", fix="Keep one of them.")
        arguments[key] = _literal(value, word, where)
    return arguments


def _split(word: str, where: str) -> tuple[str, str]:
    parts = [part.strip() for part in word.split("=")]
    if len(parts) != 2:
        raise UsageError(
            where=where, what=f"{word!r} is not key=value.", fix="Write one = in each, such as weight_decay=0.01."
        )
    key, value = parts
    if not key.isidentifier() or key.startswith("_"):
        raise UsageError(where=where, what=f"{key!r} in {word!r} is not the name of an argument.")
    return key, value


def _literal(value: str, word: str, where: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise UsageError(
            where=where,
            what=f"The value in {word!r} is not a Python literal.",
            fix="Write numbers, True, False, None, or text in quotes, such as decay_type='cosine'.",
        ) from None
