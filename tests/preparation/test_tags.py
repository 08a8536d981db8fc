"""What can be done to the tags of a caption."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tanren.errors import EnvironmentProblem, UsageError
from tanren.preparation import tags
from tanren.preparation.patterns import replaced_everywhere
from tanren.preparation.tag_filter import TagFilter

LINE = "1girl,  Long_hair, smile, smile"


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        (tags.adding(["hat", "SMILE"]), LINE, "1girl, Long_hair, smile, smile, hat"),
        (tags.adding(["hat"], tags.FRONT), "a", "hat, a"),
        (tags.adding(["smile"]), LINE, LINE),
        (tags.adding(["hat", "hat"]), "", "hat"),
        (tags.removing(["long hair"]), LINE, "1girl, smile, smile"),
        (tags.removing(["tree"]), LINE, LINE),
        (tags.replacing("smile", "grin"), LINE, "1girl, Long_hair, grin"),
        (tags.replacing("smile", "1girl"), LINE, "1girl, Long_hair"),
        (tags.replacing("long hair", "red hair, braid"), LINE, "1girl, red hair, braid, smile, smile"),
        (tags.sorting(), "b, C, a", "a, b, C"),
        (tags.sorting(keep=1), "z, b, a", "z, a, b"),
        (tags.deduplicating, LINE, "1girl, Long_hair, smile"),
        (tags.ordering(["smile", "solo"]), "1girl, solo, hat, smile", "smile, solo, 1girl, hat"),
        (tags.trigger_first("sks girl"), "hat, SKS girl, tree", "sks girl, hat, tree"),
        (tags.trigger_first("sks girl"), "hat", "sks girl, hat"),
        (tags.trigger_first("sks"), "sks,hat", "sks,hat"),
        (tags.finding("hair", "毛"), "red hair, hairpin", "red 毛, 毛pin"),
        (tags.finding("HAIR", "x", ignore_case=True), "red hair", "red x"),
        (tags.underscores_to_spaces, "long_hair, a_very_long_tag", "long hair, a very long tag"),
        (tags.underscores_to_spaces, "^_^, o_o, (o)_(o), >_<, ||_||", "^_^, o_o, (o)_(o), >_<, ||_||"),
        (tags.spaces_to_underscores, "long hair, two  words", "long_hair, two_words"),
        (tags.escape_brackets, r"name (series), done \(x\)", r"name \(series\), done \(x\)"),
        (tags.unescape_brackets, r"name \(series\)", "name (series)"),
        (tags.tidied, " a ,, b  c,", "a, b c"),
    ],
)  # fmt: skip
def test_operations(operation, before, after):
    assert operation(before) == after


def test_every_line_is_changed_and_blank_lines_stay():
    assert tags.on_every_line("a\n\nb\n", tags.adding(["c"])) == "a, c\n\nb, c\n"


@pytest.mark.parametrize(
    ("old", "new", "mode", "result"),
    [
        ("hat", "tree", tags.FILL, "hat"),
        ("  \n", "tree", tags.FILL, "tree"),
        ("hat", "tree, hat", tags.APPEND, "hat, tree"),
        ("hat", "tree, hat", tags.PREPEND, "tree, hat"),
        ("hat", "tree", tags.REPLACE, "tree"),
        ("hat", " ", tags.REPLACE, "hat"),
    ],
)
def test_new_texts_are_combined_with_what_is_there(old, new, mode, result):
    assert tags.combined(old, new, mode) == result


@settings(derandomize=True)
@given(st.text(), st.text())
def test_filling_never_touches_a_caption_that_says_anything(old, new):
    result = tags.combined(old, new, tags.FILL)

    assert result == old if old.strip() else result in (old, new)


OPERATIONS = st.sampled_from(
    [
        tags.sorting(),
        tags.deduplicating,
        tags.tidied,
        tags.trigger_first("sks"),
        tags.ordering(["b"]),
        tags.adding(["x"]),
    ]
)


@settings(derandomize=True)
@given(OPERATIONS, st.text(alphabet="ab_ ,\tA", max_size=20))
def test_operations_done_twice_do_what_they_do_once(operation, line):
    once = operation(line)

    assert operation(once) == once


HAS = ["1girl", "long_hair", "looking at viewer", "Smile", "name (series)"]


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("smile", True),
        ("hat", False),
        ("not hat", True),
        ("-hat", True),
        ("smile -hat", True),
        ("smile, not hat", True),
        ("long hair and smile", True),
        ("hat or smile and 1girl", True),
        ("(hat or smile) and not 1girl", False),
        ("looking at viewer or hat", True),
        ("*hair", True),
        ("l*viewer", True),
        ("*cat*", False),
        ('"name (series)"', True),
        ('not "name (series)" or hat', False),
        ("not not smile", True),
        ("AND_tag or smile", True),
    ],
)
def test_filters(text, matches):
    assert TagFilter(text).matches(HAS) is matches


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("hat and", "a tag is missing at the end"),
        ("(hat", "a closing bracket is missing"),
        ("hat)", "')' was not expected"),
        ("or hat", "a tag is missing before 'or'"),
        ('"hat', 'a closing " is missing'),
        ("(" * 60 + "a" + ")" * 60, "more than 50 brackets"),
    ],
)
def test_filters_that_cannot_be_understood_say_why(text, what):
    with pytest.raises(UsageError, match=what.replace("(", r"\(").replace(")", r"\)")):
        TagFilter(text)


def test_regular_expressions_with_groups():
    texts = ["red hair, blue eyes", "赤い髪"]

    assert replaced_everywhere(texts, r"(\w+) hair", r"hair of \1") == ["hair of red, blue eyes", "赤い髪"]
    assert replaced_everywhere(["RED"], "red", "x", ignore_case=True) == ["x"]


def test_an_expression_that_never_ends_is_ended_and_named():
    began = time.monotonic()

    with pytest.raises(UsageError) as refusal:
        replaced_everywhere(["fine", "a" * 40 + "!"], "(a+)+$", "", seconds=3)

    assert "takes longer than 3 seconds, the last time on the caption 'aaaa" in str(refusal.value)
    assert time.monotonic() - began < 60


def test_a_worker_that_ends_early_is_said(monkeypatch, tmp_path):
    (tmp_path / "broken.py").write_text("raise SystemExit('no room')", "utf-8")
    monkeypatch.setattr("tanren.preparation.patterns.WORKER", tmp_path / "broken.py")
    with pytest.raises(EnvironmentProblem, match="ended before it was done"):
        replaced_everywhere(["x"], "x", "y")


@pytest.mark.parametrize(
    ("pattern", "new", "what"),
    [
        ("(hat", "", "This is no regular expression: missing"),
        ("hat", r"\1", "The replacement cannot be used: invalid group reference"),
        ("x" * 3000, "", "It has 3000 characters, more than 2000"),
    ],
)
def test_wrong_expressions_are_refused_with_the_reason(pattern, new, what):
    with pytest.raises(UsageError) as refusal:
        replaced_everywhere(["x"], pattern, new)
    assert what in str(refusal.value)
