"""Which tests show the effect of which options: the `option` marks of all test files, read without running them.

A mark may stand on a test, on its class, on the module (`pytestmark`) or on one row of `parametrize`
(`pytest.param(…, marks=pytest.mark.option("name"))`). Names are written out, or unpacked from a constant of the file:
`@pytest.mark.option(*EFFECTS)`, where EFFECTS is a tuple, list or set of names, a dict with names as keys, or a list of
rows that begin with the name.
"""

from __future__ import annotations

import ast
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
# Tests that nobody runs without a GPU, or at all, show nothing.
NOT_RUN = {"skip", "gpu"}


class UnreadableMarkError(Exception):
    """A mark whose names cannot be read from the file, or that stands where pytest sees no test."""


@dataclass(frozen=True)
class EffectTest:
    """One test and one option whose effect it shows."""

    option: str
    file: str  # relative to the folder of tests, with forward slashes
    test: str  # `test_name` or `TestClass::test_name`
    line: int


def effect_tests(folder: Path = TESTS) -> list[EffectTest]:
    """All marks below a folder, by file and line."""
    found: list[EffectTest] = []
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text("utf-8")
        tree = ast.parse(text) if "mark.option" in text else ast.Module([], [])
        if _calls(tree, "option"):
            found += _File(tree, path.relative_to(folder).as_posix()).marks()
    return found


class _File:
    def __init__(self, tree: ast.Module, name: str) -> None:
        self.tree, self.name = tree, name
        self.constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }

    def marks(self) -> Generator[EffectTest, None, None]:
        everywhere = self._marks_in(self.constants.get("pytestmark"))
        if not self.name.rpartition("/")[2].startswith("test_"):
            raise UnreadableMarkError(f"{self.name}: marks stand in files of tests only.")
        read = yield from self._of_body(self.tree.body, everywhere, "")
        read |= {id(call) for call in everywhere}
        for call in _calls(self.tree, "option"):
            if id(call) not in read:
                raise self._problem(call, "the mark stands on nothing that pytest runs")

    def _of_body(
        self, body: list[ast.stmt], around: list[ast.Call], prefix: str
    ) -> Generator[EffectTest, None, set[int]]:
        """The tests of a module or class; returns which marks were read."""
        read: set[int] = set()
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                own = self._marks_in(*node.decorator_list)
                read |= {id(call) for call in own} | (
                    yield from self._of_body(node.body, around + own, f"{prefix}{node.name}::")
                )
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                own = self._marks_in(*node.decorator_list)
                read |= {id(call) for call in own}
                if _not_run(node):
                    continue
                names = [name for call in around + own for name in self._names(call)]
                for name in dict.fromkeys(names):
                    yield EffectTest(name, self.name, prefix + node.name, node.lineno)
        return read

    def _marks_in(self, *trees: ast.AST | None) -> list[ast.Call]:
        """`pytest.mark.option(…)` in decorators, also in a table of rows that `parametrize` names."""
        calls = []
        for tree in trees:
            if tree is None:
                continue
            calls += _calls(tree, "option")
            for table in (word.id for word in ast.walk(tree) if isinstance(word, ast.Name)):
                if table in self.constants and _calls(tree, "parametrize"):
                    calls += _calls(self.constants[table], "option")
        return calls

    def _names(self, call: ast.Call) -> Iterator[str]:
        for word in call.args:
            if isinstance(word, ast.Starred) and isinstance(word.value, ast.Name) and word.value.id in self.constants:
                yield from self._rows(self.constants[word.value.id], call)
            else:
                yield self._text(word, call)

    def _rows(self, table: ast.expr, call: ast.Call) -> Iterator[str]:
        if not isinstance(table, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
            raise self._problem(call, "the constant is no tuple, list, set or dict written out")
        for row in table.keys if isinstance(table, ast.Dict) else table.elts:
            if isinstance(row, (ast.Tuple, ast.List)) and row.elts:
                row = row.elts[0]
            elif isinstance(row, ast.Call) and row.args:
                row = row.args[0]
            yield self._text(row, call)

    def _text(self, word: ast.expr | None, call: ast.Call) -> str:
        if isinstance(word, ast.Constant) and isinstance(word.value, str):
            return word.value
        raise self._problem(call, "names must be written out, or unpacked from a constant of the file")

    def _problem(self, call: ast.Call, what: str) -> UnreadableMarkError:
        return UnreadableMarkError(f"{self.name}:{call.lineno}: {what}.")


def _calls(tree: ast.AST, mark: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == mark
        and isinstance(node.func.value, ast.Attribute)
        and node.func.value.attr == "mark"
    ]


def _not_run(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    words = [word.func if isinstance(word, ast.Call) else word for word in node.decorator_list]
    return any(isinstance(word, ast.Attribute) and word.attr in NOT_RUN for word in words)
