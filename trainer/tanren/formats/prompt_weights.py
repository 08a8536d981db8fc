r"""Emphasis in prompts: which stretch of the text counts how much.

`(text)` counts 1.1 times, `[text]` 1/1.1 times, `(text:1.3)` 1.3 times; nested ranges multiply. A range that is not
closed runs to the end; a closing bracket without its opening one is text. `\(`, `\)`, `\[`, `\]` and `\\` are the
characters themselves, and a backslash before anything else is left out, as the WebUI does. `[text:1.3]` has no number
form: there the colon is text.
"""

from __future__ import annotations

import math
import re

STRONGER = 1.1
SAME = 1e-9
TOKEN = re.compile(
    r"\\(?P<escaped>[()\[\]\\]?)"
    r"|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)"
    r"|(?P<bracket>[()\[\]])"
    r"|(?P<text>[^\\()\[\]:]+|.)",
    re.DOTALL,
)


def parse_prompt_weights(prompt: str) -> list[tuple[str, float]]:
    """Stretches of text with their weights, neighbours of equal weight joined; `[("", 1.0)]` for an empty prompt."""
    pieces: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for found in TOKEN.finditer(prompt):
        bracket, weight = found["bracket"], found["weight"]
        if bracket in ("(", "["):
            opened[bracket].append(len(pieces))
        elif weight is not None and opened["("]:
            _multiply(pieces, opened["("].pop(), float(weight))
        elif bracket == ")" and opened["("]:
            _multiply(pieces, opened["("].pop(), STRONGER)
        elif bracket == "]" and opened["["]:
            _multiply(pieces, opened["["].pop(), 1 / STRONGER)
        else:
            pieces.append((found[0] if found["escaped"] is None else found["escaped"], 1.0))
    for kind, factor in (("(", STRONGER), ("[", 1 / STRONGER)):
        for start in opened[kind]:
            _multiply(pieces, start, factor)
    return _joined(pieces) or [("", 1.0)]


def _multiply(pieces: list[tuple[str, float]], start: int, factor: float) -> None:
    pieces[start:] = [(text, weight * factor) for text, weight in pieces[start:]]


def _joined(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    joined: list[tuple[str, float]] = []
    for text, weight in pieces:
        if joined and math.isclose(joined[-1][1], weight, abs_tol=SAME):
            joined[-1] = (joined[-1][0] + text, joined[-1][1])
        else:
            joined.append((text, weight))
    return joined
