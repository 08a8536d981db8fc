"""TOML files."""

import importlib.util
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tanren.errors import EnvironmentProblem, UsageError
from tanren.formats import toml_file
from tanren.formats.toml_file import line_of, open_toml, parse_toml, plain_tables, write_flat, write_nested

TEXT = """\
[general]
seed = 1

[[datasets]]
resolution = 512
  [[datasets.subsets]]
  image_dir = 'a'
  [[datasets.subsets]]
  "image_dir" = 'b'
[[datasets]]
  [[datasets.subsets]]
  image_dir = 'c'
"""


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (("general", "seed"), 2),
        (("datasets", 0, "resolution"), 5),
        (("datasets", 0, "subsets", 0, "image_dir"), 7),
        (("datasets", 0, "subsets", 1, "image_dir"), 9),
        (("datasets", 1, "subsets", 0, "image_dir"), 12),
        (("datasets", 1), 10),
        (("datasets", 0, "subsets", 1, "missing"), 8),
        (("nowhere", "x"), None),
    ],
)
def test_line_of_a_value_is_found_inside_arrays_of_tables(names, line):
    assert line_of(TEXT, names) == line


def test_flat_values_are_written_and_read_back():
    values = {"a": 'quote " and \\ and 日本', "b": True, "c": 3, "d": 1e-05, "e": ["x=1", "y"], "f": "line\nbreak\x7f"}

    text = write_flat(values)

    assert text == (
        'a = "quote \\" and \\\\ and 日本"\nb = true\nc = 3\nd = 1e-05\ne = ["x=1", "y"]\nf = "line\\nbreak\\u007f"\n'
    )
    assert parse_toml(text, "t") == values


@pytest.mark.rule("cfg-02")
def test_broken_escape_in_a_windows_path_is_refused_with_a_hint():
    with pytest.raises(UsageError) as caught:
        parse_toml('a = "C:\\pictures"\n', "f.toml")

    assert "single quotes" in caught.value.fix or "control" in caught.value.what


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no tomllib to hide")
@pytest.mark.skipif(importlib.util.find_spec("toml") is None, reason="the toml package is not here")
def test_toml_package_serves_where_python_brings_no_reader(monkeypatch, tmp_path):
    hide(monkeypatch, "tomllib")
    path = tmp_path / "a.toml"
    path.write_text("[x]\ny = [1, 2]\n")

    assert open_toml(path).data == {"x": {"y": [1, 2]}}
    with pytest.raises(UsageError, match="not valid TOML"):
        parse_toml("a = \n", "f.toml")


def test_toml_package_of_the_trainers_environment_is_loaded_by_its_path(monkeypatch, tmp_path):
    package = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages" / "toml"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def loads(text):\n    return {'read': text}\n")
    hide(monkeypatch, "tomllib", "toml")
    monkeypatch.setattr(toml_file, "REPOSITORY", tmp_path)
    monkeypatch.delitem(sys.modules, "toml", raising=False)

    assert parse_toml("x", "f.toml") == {"read": "x"}

    sys.modules.pop("toml", None)


def test_without_any_reader_one_sentence_says_what_to_do(monkeypatch, tmp_path):
    hide(monkeypatch, "tomllib", "toml")
    monkeypatch.setattr(toml_file, "REPOSITORY", tmp_path)

    with pytest.raises(EnvironmentProblem) as caught:
        parse_toml("a = 1979-05-27", "f.toml")

    assert caught.value.fix == "Make the trainer's environment first: python launch.py setup."


def test_without_any_reader_what_is_written_here_is_read_all_the_same(monkeypatch, tmp_path):
    hide(monkeypatch, "tomllib", "toml")
    monkeypatch.setattr(toml_file, "REPOSITORY", tmp_path)
    text = (
        '# ours\na = "x \\"y\\" \\u3042"\n\n[b.c]\nd = [1, 2.5]\n\n'
        "[[e]]\nf = true\n\n[[e.g]]\nh = 1e-05\n\n[[e]]\nf = false\n"
    )

    assert parse_toml(text, "f.toml") == {
        "a": 'x "y" あ',
        "b": {"c": {"d": [1, 2.5]}},
        "e": [{"f": True, "g": [{"h": 1e-05}]}, {"f": False}],
    }


@pytest.mark.parametrize(
    "text",
    [
        "a = 'single'",
        "a = {b = 1}",
        "a.b = 1",
        "a = 1\na = 2",
        "a = null",
        "[a]\n[a]",
        "a = 1\n[a]",
        "a = [1]\n[[a]]",
        "x",
    ],
)
def test_anything_else_is_left_to_a_real_reader(text):
    assert plain_tables(text) is None


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-9, 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs",))),
)
KEYS = st.text("abcXYZ019_-", min_size=1, max_size=4)
TABLES = st.recursive(
    st.dictionaries(KEYS, st.one_of(SCALARS, st.lists(st.integers(), max_size=2)), max_size=3),
    lambda inner: st.dictionaries(KEYS, st.one_of(SCALARS, inner, st.lists(inner, min_size=1, max_size=2)), max_size=3),
    max_leaves=6,
)


@given(data=TABLES)
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@example(data={"a": "\x85\u2028"})
def test_nested_tables_come_back_as_they_were_written(data):
    text = write_nested(data)

    assert parse_toml(text, "f.toml") == data
    assert plain_tables(text) == data


def hide(monkeypatch, *names):
    """Let the package believe that these modules are not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in names else find(name, *rest))
