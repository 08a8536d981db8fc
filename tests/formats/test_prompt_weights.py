import pytest
from tanren.formats.prompt_weights import parse_prompt_weights


def parsed(prompt):
    return [(text, round(weight, 4)) for text, weight in parse_prompt_weights(prompt)]


def test_the_documented_example():
    assert parsed("old ((red:1.2) [barn]) by (lake:0.5) ((fog))") == [
        ("old ", 1.0),
        ("red", 1.32),
        (" ", 1.1),
        ("barn by ", 1.0),
        ("lake", 0.5),
        (" ", 1.0),
        ("fog", 1.21),
    ]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", [("", 1.0)]),
        ("plain, text", [("plain, text", 1.0)]),
        ("(abc)", [("abc", 1.1)]),
        ("[abc]", [("abc", 0.9091)]),
        ("(abc:1.3)", [("abc", 1.3)]),
        ("(abc: +.5 )", [("abc", 0.5)]),
        ("(abc:-1)", [("abc", -1.0)]),
        ("((a) b)", [("a", 1.21), (" b", 1.1)]),
        (r"\(a\) \[b\] \\", [("(a) [b] \\", 1.0)]),
        (r"a\b \(c", [("ab (c", 1.0)]),
        ("a\\", [("a", 1.0)]),
        ("a (b", [("a ", 1.0), ("b", 1.1)]),
        ("a [b (c", [("a ", 1.0), ("b ", 0.9091), ("c", 1.0)]),
        ("a) b]", [("a) b]", 1.0)]),
        ("a:1.2) b", [("a:1.2) b", 1.0)]),
        ("[x:1.2]", [("x:1.2", 0.9091)]),
        ("(x:1.2.3)", [("x:1.2.3", 1.1)]),
        ("(x:one)", [("x:one", 1.1)]),
        ("time 12:30", [("time 12:30", 1.0)]),
        ("two\nlines (b)", [("two\nlines ", 1.0), ("b", 1.1)]),
        ("()", [("", 1.0)]),
    ],
)
def test_stretches_and_weights(prompt, expected):
    assert parsed(prompt) == expected
