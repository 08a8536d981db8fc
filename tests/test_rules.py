"""Every robustness row that applies now is named by a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROWS = [
    line.split()[0]
    for line in (TESTS / "robustness_rules.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def named_rules() -> set[str]:
    """Ids in `rule(…)` markers of all test files."""
    names = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "rule":
                names |= {word.value for word in node.args if isinstance(word, ast.Constant)}
    return names


NAMED = named_rules()


@pytest.mark.parametrize("row", ROWS)
def test_a_test_stands_for_the_row(row):
    assert row in NAMED


def test_rows_are_listed_once():
    assert len(ROWS) == len(set(ROWS))
