"""The texts of the page, found in the sources and in the page itself, for the tests of the translations."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

ROOT = Path(__file__).parents[2]
PACKAGE, SCRIPTS = ROOT / "trainer" / "tanren", ROOT / "javascript"
# Their first argument is a sentence of the page; of `counted` it is the second and the third.
TAKES_SENTENCE = {"text": (0,), "Text": (0,), "words": (0,), "done": (0,), "section": (0,), "counted": (1, 2)}
SCRIPT_TEXT = r'"((?:[^"\\]|\\.)*)"'
TRANSLATED = re.compile(
    r"(?<![\w.$])(?:tanren\.)?t\(\s*((?:[^()\"]*\?\s*)?" + SCRIPT_TEXT + r"(?:\s*:\s*" + SCRIPT_TEXT + r")?)"
)
PLACE = "\0"


def script_texts() -> set[str]:
    """What stands in `tanren.t("…")` of the page script."""
    found = set()
    for path in sorted(SCRIPTS.glob("*.js")):
        for match in TRANSLATED.finditer(path.read_text("utf-8")):
            found |= {unescaped(text) for text in re.findall(SCRIPT_TEXT, match[1])}
    return found


def all_script_texts() -> set[str]:
    """Every text in double quotes in the page script."""
    texts = (re.findall(SCRIPT_TEXT, path.read_text("utf-8")) for path in SCRIPTS.glob("*.js"))
    return {unescaped(text) for found in texts for text in found}


def unescaped(text: str) -> str:
    """A literal of the script as it is read; those with other escapes than JSON's stay as they are."""
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def sentences() -> set[str]:
    """Templates of sentences that the page's Python code puts into the user's language."""
    return {text for call in calls(PACKAGE / "ui") for text in sentences_in(call)}


def calls(folder: Path) -> Iterator[ast.Call]:
    """Every call in the modules of a folder."""
    for path in sorted(folder.rglob("*.py")):
        yield from (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))


def sentences_in(call: ast.Call) -> Iterator[str]:
    """The literals among the arguments of a call that are sentences."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    for place in TAKES_SENTENCE.get(name, ()):
        sentence = call.args[place] if place < len(call.args) else None
        either = (sentence.body, sentence.orelse) if isinstance(sentence, ast.IfExp) else (sentence,)
        yield from (one.value for one in either if isinstance(one, ast.Constant) and isinstance(one.value, str))


def all_texts() -> set[str]:
    """Every text in the package; where values are filled in stands `PLACE`."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(part.value if isinstance(part, ast.Constant) else PLACE for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def skeleton(template: str) -> str:
    """A template with `PLACE` for every name; a text that is no template stays as it is."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        return template
    return "".join(literal + (PLACE if name is not None else "") for literal, name, _, _ in parts)
