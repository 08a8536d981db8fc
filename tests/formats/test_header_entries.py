"""The quick way through a header: it says what JSON says, or leaves the header to the strict reader."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tanren.formats.header_entries import TensorEntry, quick_content, short_int

W, V = '"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}', '"v":{"dtype":"F32","shape":[],"data_offsets":[4,8]}'
PIECES = (
    *("{", "}", ",", ":", "[", "]", '"', "\\", " ", "\n", "0", "1", "-", "01", "1.0", "true", "null", "[]", "{}"),
    *(W, V, '"w":', '"dtype":"F16"', '"shape":[2]', '"data_offsets":[0,4]', '"__metadata__":{"a":"b"}', '"a":"b"'),
    *('"\\u0061":1', "\x00", "猫", "F99", '"__metadata__":'),
)


def test_headers_as_the_library_writes_them_are_read():
    found = quick_content(f'{{"__metadata__":{{"a":"x\\"}},{W[1:2]}"}},{W},{V}}}   '.encode())

    assert found == (
        {"a": 'x"},w'},
        {"w": TensorEntry("F16", (2,), 0, 4), "v": TensorEntry("F32", (), 4, 8)},
    )
    assert quick_content(b"{}") == ({}, {})
    assert quick_content(b'{"__metadata__":{"a":"b"}}') == ({"a": "b"}, {})
    assert quick_content(f"{{{V},{W}}}".encode())[1]["v"].begin == 4


@pytest.mark.rule("mdl-02")
@pytest.mark.parametrize(
    "text",
    [
        f"{{{W},{W}}}",
        f"{{{W},}}",
        '{"__metadata__":{"a":"b"},}',
        f'{{"__metadata__":{{"a":"b","a":"c"}},{W}}}',
        f'{{{W},"__metadata__":{{"a":"b"}}}}',
        f"{{{W} ,{V}}}",
        f"{{{W}{V}}}",
        f"{{{W}}}{{",
        W[:-1],
        f"{{{W}".replace("[2]", "[02]"),
        f"{{{W}}}".replace("[2]", "[2.0]"),
        f"{{{W}}}".replace("[2]", "[true,2]"),
        f"{{{W}}}".replace("[2]", "[3]"),
        f"{{{W}}}".replace("[2]", "[-2]"),
        f"{{{W}}}".replace("F16", "F99"),
        f"{{{W}}}".replace('"w"', '"w\\u0061"'),
        f"{{{W}}}".replace('"w"', '"w\x01"'),
        f"{{{W}}}".replace('"w"', '"__metadata__"'),
        f"{{{W}}}".replace('"w"', f'"{"w" * 513}"'),
        f"{{{W}}}".replace("[2]", "[1,1,1,1,1,1,1,1,2]"),
        '{"__metadata__":{"a":"\\ud800"}}',
        '{"__metadata__":[]}',
        '{"__metadata__":{"a":' + "[" * 5000,
    ],
)
def test_whatever_is_spelled_in_another_way_is_left_to_the_strict_reader(text):
    assert quick_content(text.encode()) is None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.integers(0, 60), st.integers(0, 60))
def test_what_is_read_quickly_is_what_json_says(pieces, start, end):
    good = f'{{"__metadata__":{{"a":"b"}},{W},{V}}}'
    text = (good[:start] + "".join(pieces) + good[start + end :]).encode()

    found = quick_content(text) if text.startswith(b"{") else None

    if found is not None:
        doubled = []
        content = json.loads(text, object_pairs_hook=lambda pairs: doubled.append(len(pairs)) or dict(pairs))
        assert len(content) == doubled[-1]
        assert content.pop("__metadata__", {}) == found[0]
        entries = {name: {**one._asdict(), "shape": list(one.shape)} for name, one in found[1].items()}
        assert {name: (one["dtype"], one["shape"], one["data_offsets"]) for name, one in content.items()} == {
            name: (one["dtype"], one["shape"], [one["begin"], one["end"]]) for name, one in entries.items()
        }


def test_numbers_of_endless_digits_are_refused_before_they_are_read():
    assert short_int("-12") == -12
    with pytest.raises(ValueError, match="a number of 1000000 digits"):
        short_int("9" * 1_000_000)
