"""A corpus of malformed and odd files, and damage at random: nothing raises but what says what is wrong."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_files import GOOD, REFUSED, SHOWN
from tanren.errors import ModelFileError
from tanren.library.cover import cover_of
from tanren.library.facts import grouped_facts
from tanren.library.look import look_at
from tanren.library.scrub import scrubbed
from tanren.meta_text import look_as_json, look_as_text

# Seconds that one file may take, far above what is seen (0.7 s for a header of 16 MiB on a busy machine).
PATIENCE = 20
# The largest header that is read has 16 MiB; with the text, the parsed values and their copies this is not exceeded.
PEAK_BYTES = 150 * 2**20


def test_the_corpus_is_large():
    assert len(REFUSED) + len(SHOWN) >= 100


@pytest.mark.rule("mdl-01")
@pytest.mark.rule("mdl-02")
@pytest.mark.rule("mdl-03")
@pytest.mark.rule("mdl-06")
@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_file_is_refused_with_its_reason(tmp_path, name):
    content, words = REFUSED[name]
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    began = time.monotonic()

    with pytest.raises(ModelFileError) as refusal:
        look_at(path)

    assert words in refusal.value.what
    assert refusal.value.where == str(path)
    assert len(refusal.value.what) < 400
    assert time.monotonic() - began < PATIENCE


@pytest.mark.rule("mdl-04")
@pytest.mark.rule("mdl-05")
@pytest.mark.parametrize("name", SHOWN)
def test_an_odd_file_is_shown_with_its_kind_and_notes(tmp_path, name):
    content, family, kind, words = SHOWN[name]
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)

    look = look_at(path)

    assert (look.family, look.kind.type) == (family, kind)
    assert words in " ".join(look_as_json(look)["warnings"])
    shown = look_as_text(look, tags=20, blocks=True)
    assert not set("\x1b\0\u202e") & set(shown)
    assert max(map(len, shown.splitlines())) < 1200
    assert scrubbed(look.metadata).metadata.keys() == look.metadata.keys()
    assert grouped_facts(look.metadata) is not None
    assert cover_of(look.metadata).png == b""


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_at_random_is_refused_or_shown_but_never_a_fault_of_ours(tmp_path_factory, data):
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 1) | st.integers(0, 400))
        damaged[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    path.write_bytes(damaged)

    try:
        look = look_at(path)
    except ModelFileError as problem:
        assert problem.code == 4
        return
    assert look_as_text(look, tags=5, blocks=True)


@pytest.mark.rule("mdl-01")
@pytest.mark.parametrize("name", ["header over the cap", "value over 8 MiB", "deep lists", "length 2^64-1"])
def test_memory_stays_bounded_however_large_the_claims_are(tmp_path, name):
    path = tmp_path / "x.safetensors"
    path.write_bytes(REFUSED[name][0])
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            look_at(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PEAK_BYTES
