"""A corpus of malformed and odd files, and damage at random: nothing raises but what says what is wrong."""

from __future__ import annotations

import contextlib
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_files import network_bytes
from odd_files import GOOD, REFUSED, SHOWN, of
from tanren.errors import ModelFileError
from tanren.formats.network_names import ROLES
from tanren.library.cover import cover_of
from tanren.library.facts import grouped_facts
from tanren.library.look import look_at
from tanren.library.scrub import scrubbed
from tanren.meta_text import look_as_json, look_as_text

# Seconds that one file may take, far above what is seen (2.3 s for a header of 100 000 tensors on a busy machine).
PATIENCE = 20
# A header of 12 MiB with 100 000 tensors, the most that are read, takes 146 MiB at its peak.
PEAK_BYTES = 200 * 2**20


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTRY_KEYS = st.sampled_from(["dtype", "shape", "data_offsets", "x"])
LAYERS = st.sampled_from(
    [
        "lora_unet_down_blocks_0_attentions_0_proj_in",
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "lycoris_x",
        "..",
        "",
    ]
)
SHAPES = st.lists(st.integers(0, 3), max_size=5).map(tuple)


@settings(max_examples=150, deadline=None)
@given(content=st.dictionaries(st.sampled_from(["__metadata__", "w", ""]), JSON | st.dictionaries(ENTRY_KEYS, JSON)))
def test_headers_of_any_json_are_refused_or_shown(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "json.safetensors"
    path.write_bytes(of(content, b""))

    with contextlib.suppress(ModelFileError):
        look_at(path)


@settings(max_examples=150, deadline=None)
@given(tensors=st.lists(st.tuples(LAYERS, st.sampled_from(sorted(ROLES)), SHAPES), max_size=8))
def test_known_suffixes_with_any_shapes_are_shown(tmp_path_factory, tensors):
    path = tmp_path_factory.getbasetemp() / "shapes.safetensors"
    path.write_bytes(network_bytes({f"{layer}.{suffix}": shape for layer, suffix, shape in tensors}))

    look = look_at(path)

    assert look_as_text(look, tags=1, blocks=True)
    assert look_as_json(look)["tensors"] == len({(layer, suffix) for layer, suffix, _ in tensors})


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


@pytest.mark.proof
def test_the_largest_header_that_is_read_stays_within_the_bounds(tmp_path):
    names = (f"lora_unet_down_blocks_{number % 4}_attentions_{number}_x.lora_down.weight" for number in range(100_000))
    path = tmp_path / "x.safetensors"
    path.write_bytes(network_bytes(dict.fromkeys(names, (1, 1))))
    began = time.monotonic()
    tracemalloc.start()
    try:
        assert len(look_at(path).kind.layers) == 100_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PEAK_BYTES
    assert time.monotonic() - began < 3 * PATIENCE
