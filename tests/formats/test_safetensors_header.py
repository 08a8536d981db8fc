import json
import os
import struct

import pytest
import torch
from faults import names_in
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from tanren.errors import ModelFileError
from tanren.formats.safetensors_header import (
    BITS,
    HEADER_LIMIT,
    TensorEntry,
    header_bytes,
    lay_out,
    payload_blocks,
    read_header,
    replace_header,
)

TINY = b'{"__metadata__":{"a":"\xe7\x8c\xab"},"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}'


def file_of(tmp_path, header: bytes | str, payload=b"\1\2\3\4", length=None):
    header = header.encode() if isinstance(header, str) else header
    path = tmp_path / "cat.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + payload)
    return path


def entry(dtype="F16", shape=(2,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def refused(path):
    with pytest.raises(ModelFileError) as refusal:
        read_header(path)
    assert refusal.value.where == str(path)
    assert refusal.value.code == 4
    assert refusal.value.fix
    return refusal.value.what


def test_a_header_is_read_from_literal_bytes(tmp_path):
    header = read_header(file_of(tmp_path, TINY))

    assert header.metadata == {"a": "猫"}
    assert header.tensors == {"w": TensorEntry("F16", (2,), 0, 4)}
    assert (header.payload_offset, header.payload_bytes) == (8 + len(TINY), 4)


def test_spaces_after_the_header_no_metadata_scalars_and_empty_tensors_are_fine(tmp_path):
    content = {"s": entry("F32", (), (0, 4)), "e": entry("F32", (0, 7), (4, 4))}

    header = read_header(file_of(tmp_path, json.dumps(content) + "   "))

    assert header.metadata == {}
    assert header.tensors["s"].shape == ()
    assert header.tensors["e"].shape == (0, 7)


@pytest.mark.rule("mdl-01")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "It is an empty file, not a safetensors file."),
        (b"\x05\0\0", "It has only 3 bytes; a safetensors file has at least 8."),
        (
            struct.pack("<Q", 1000) + b"{}",
            "It is cut off: its header should end at byte 1008, but the file has 10 bytes.",
        ),
        (
            struct.pack("<Q", 2**63) + b"{}",
            "It is cut off: its header should end at byte 9223372036854775816, but the file has 10 bytes.",
        ),
        (struct.pack("<Q", 4) + b"{\xff\xff}", "Its header is not UTF-8 at offset 9."),
        (struct.pack("<Q", 8) + b'{"a": ,}', "Its header is not JSON at offset 14: Expecting value."),
    ],
)
def test_damaged_beginnings_are_refused_with_the_offset(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)

    assert refused(path) == message


@pytest.mark.rule("mdl-01")
def test_a_header_over_the_cap_is_refused_unread(tmp_path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", HEADER_LIMIT + 1) + b"{")
        file.truncate(HEADER_LIMIT + 100)

    assert refused(path) == "Its header claims 16777217 bytes (at offset 0); at most 16777216 are read."


@pytest.mark.rule("mdl-01")
def test_deep_nesting_is_refused(tmp_path):
    assert "deeper than 4" in refused(file_of(tmp_path, b'{"a":' + b"[" * 200_000))
    assert refused(file_of(tmp_path, '{"a":{"b":{"c":{"d":{}}}}}')) == (
        "The entry of 'a' is not dtype, shape and data_offsets."
    )


@pytest.mark.rule("mdl-02")
@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b" " + TINY, "Its header does not begin with { at offset 8."),
        (b'[{"w": 1}]', "Its header does not begin with { at offset 8."),
        (
            b'{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}',
            "Its header is not valid: 'w' occurs twice.",
        ),
        (
            b'{"w":{"dtype":"F16","dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
            "Its header is not valid: 'dtype' occurs twice.",
        ),
        (b'{"__metadata__":{"a":1}}', "Its __metadata__ does not map text to text."),
        (b'{"__metadata__":["a"]}', "Its __metadata__ does not map text to text."),
        (
            b'{"__metadata__":{"a":"\\ud800"}}',
            "Its header is not valid: 'a' holds half a character (a lone surrogate).",
        ),
        (b'{"a":NaN}', "Its header is not valid: NaN is not a number of JSON."),
    ],
)
def test_headers_that_readers_disagree_about_are_refused(tmp_path, header, message):
    assert refused(file_of(tmp_path, header)) == message


@pytest.mark.rule("mdl-02")
@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"w": entry("F12")}, "The tensor 'w' has the unknown dtype 'F12'."),
        ({"w": {"dtype": "F16", "shape": [2]}}, "The entry of 'w' is not dtype, shape and data_offsets."),
        ({"w": entry(extra=1)}, "The entry of 'w' is not dtype, shape and data_offsets."),
        ({"w": entry(offsets=(-1, 3))}, "The tensor 'w' has the offsets '[-1, 3]'."),
        ({"w": entry(offsets=(4, 0))}, "The tensor 'w' has the offsets '[4, 0]'."),
        ({"w": entry(offsets=(0.0, 4))}, "The tensor 'w' has the offsets '[0.0, 4]'."),
        (
            {"w": entry(shape=(3,))},
            "The tensor 'w' is F16 [3], which needs 6 bytes, but its offsets span 4.",
        ),
        ({"w": entry(shape=(1,), offsets=(2, 4))}, "There is a hole before 'w', at offset {start}."),
        (
            {"v": entry(shape=(2,)), "w": entry(shape=(1,), offsets=(2, 4))},
            "There is an overlap before 'w', at offset {after}.",
        ),
        ({"w": entry(shape=(1,), offsets=(0, 2))}, "2 surplus bytes follow its tensors at offset {middle}."),
        (
            {"w": entry(shape=(3,), offsets=(0, 6))},
            "It is cut off: its tensors end at byte {beyond}, but the file has {after} bytes.",
        ),
    ],
)
def test_tensors_must_tile_the_payload_exactly(tmp_path, tensors, message):
    path = file_of(tmp_path, json.dumps(tensors))
    start = path.stat().st_size - 4

    assert refused(path) == message.format(start=start, middle=start + 2, after=start + 4, beyond=start + 6)


@pytest.mark.rule("mdl-03")
@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"n" * 513: entry()}, f"The tensor name '{'n' * 57}...' has 513 characters; at most 512 are read."),
        ({"w": entry(shape=(1,) * 8 + (2,))}, "at most 8 dimensions of at most 2147483648 are read."),
        ({"w": entry(shape=(2**31 + 1, 0), offsets=(0, 0))}, "The tensor 'w' has the shape '[2147483649, 0]'"),
        (
            {"__metadata__": {"big": "x" * (8 * 2**20 + 1)}},
            "Its metadata 'big' has 8388609 bytes; at most 8388608 are read.",
        ),
        (
            {f"{number}": entry(shape=(0,), offsets=(0, 0)) for number in range(100_001)},
            "It lists 100001 tensors; at most 100000 are read.",
        ),
    ],
)
def test_sizes_beyond_any_real_file_are_refused_with_the_number(tmp_path, tensors, message):
    assert message in refused(file_of(tmp_path, json.dumps(tensors)))


@pytest.mark.rule("mdl-06")
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "a PNG picture"),
        (b"  <!DOCTYPE html><html>", "a web page (an error page of the download, perhaps)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"PK\x03\x04rest of the zip", "a PyTorch checkpoint (zip with pickle)"),
        (b'{"error":"Not Found"}', "a JSON text"),
        (b"\0" * 64, "a file of zeros"),
    ],
)
def test_another_kind_of_file_under_this_name_is_recognised(tmp_path, content, kind):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)

    assert refused(path).startswith(f"It is {kind}")


def test_folders_and_missing_files_are_said(tmp_path):
    assert refused(tmp_path) == "It is not a file."
    assert refused(tmp_path / "none") == "The file cannot be read."


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_read_as_something_valid_or_refused_but_never_a_fault_of_ours(tmp_path_factory, data):
    good = bytearray(struct.pack("<Q", len(TINY)) + TINY + b"\1\2\3\4")
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    path.write_bytes(good[:cut] if data.draw(st.booleans()) else good)

    try:
        header = read_header(path)
    except ModelFileError:
        return
    assert header.payload_bytes == sum(one.end - one.begin for one in header.tensors.values())


def test_the_layout_is_the_librarys():
    dtypes = {
        "F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I64": torch.int64,
        "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
        "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "U16": torch.uint16, "U32": torch.uint32,
        "U64": torch.uint64, "C64": torch.complex64, "F8_E8M0": torch.float8_e8m0fnu,
    }  # fmt: skip
    tensors = {
        f"{word}.{name}": torch.zeros(3, 2).to(dtype) for name, dtype in dtypes.items() for word in ("b", "a", "é", "Z")
    }
    theirs = save(tensors, {'quote " 猫': "line\n\x01\x7f/\\"})

    ours = header_bytes(
        {'quote " 猫': "line\n\x01\x7f/\\"}, lay_out((name, name.split(".")[1], (3, 2)) for name in tensors)
    )

    assert theirs.startswith(ours)
    assert set(dtypes) | {"F6_E3M2", "F6_E2M3", "F4"} == set(BITS)


def test_headers_are_padded_to_8_bytes_and_begin_as_hosts_want():
    header = header_bytes({}, lay_out([("w", "F16", (2,))]))

    assert header == struct.pack("<Q", 56) + b'{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}' + b"  "
    assert header_bytes({}, {}) == struct.pack("<Q", 8) + b"{}      "


def test_metadata_that_is_not_text_cannot_be_written():
    with pytest.raises(ValueError, match="must be text: ss_steps"):
        header_bytes({"ss_steps": 3}, {})


def test_replacing_the_header_leaves_every_tensor_byte_alone(tmp_path):
    path = tmp_path / "cat.safetensors"
    tensors = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(4, dtype=torch.bfloat16)}
    path.write_bytes(save(tensors, {"old": "1"}))
    payload = b"".join(payload_blocks(path, read_header(path).payload_offset))

    replace_header(path, {"ss_output_name": "新しい名前"})

    header = read_header(path)
    assert header.metadata == {"ss_output_name": "新しい名前"}
    assert b"".join(payload_blocks(path, header.payload_offset)) == payload
    assert torch.equal(load(path.read_bytes())["b"], tensors["b"])
    assert names_in(tmp_path) == ["cat.safetensors"]


@pytest.mark.rule("mdl-07")
def test_a_file_that_changes_during_the_replacement_stays_as_the_other_program_left_it(tmp_path, monkeypatch):
    path = tmp_path / "cat.safetensors"
    path.write_bytes(save({"w": torch.zeros(4)}))
    fsync = os.fsync

    def other_program_writes(descriptor):
        path.write_bytes(save({"w": torch.ones(9)}))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", other_program_writes)
    with pytest.raises(ModelFileError, match="changed while it was read"):
        replace_header(path, {"a": "b"})

    assert path.read_bytes() == save({"w": torch.ones(9)})
    assert names_in(tmp_path) == ["cat.safetensors"]
