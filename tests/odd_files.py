"""Malformed and odd model files, each with what must be said about it: a refusal's words, or what is shown.

`REFUSED` maps a name to (bytes, words in the refusal); `SHOWN` to (bytes, family, type, words in the notes).
"""

from __future__ import annotations

import json
import struct
from typing import Any

from network_files import FLUX_LORA, SD1_LORA, SDXL_LORA, lora, network_bytes, peft

GOOD = network_bytes(SD1_LORA, {"ss_output_name": "cat"})


def raw(header: bytes | str, payload: bytes = b"\0\0\0\0", length: int | None = None) -> bytes:
    """A file with any header."""
    text = header.encode("utf-8") if isinstance(header, str) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + payload


def entry(dtype: Any = "F16", shape: Any = (2,), offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    """One tensor's entry, however wrong."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def of(content: Any, payload: bytes = b"\0\0\0\0") -> bytes:
    """A file whose header is this JSON."""
    return raw(json.dumps(content), payload)


W = {"w": entry()}
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty file"),
    "one byte": (b"{", "JSON text"),
    "seven bytes": (b"\x08\0\0\0\0\0\0", "has only 7 bytes"),
    "eight zeros": (bytes(8), "file of zeros"),
    "all zeros": (bytes(4096), "file of zeros"),
    "length alone": (struct.pack("<Q", 2), "cut off"),
    "length beyond the file": (raw("{}", length=10**6), "cut off: its header should end at byte 1000008"),
    "length 2^63": (raw("{}", length=2**63), "cut off"),
    "length 2^64-1": (raw("{}", length=2**64 - 1), "cut off"),
    "length zero": (raw("", b"abcd"), "does not begin with {"),
    "length one": (raw("{}", length=1), "not JSON"),
    "header over the cap": (raw(b"{" + b" " * (16 * 2**20) + b"}"), "claims 16777218 bytes"),
    "leading space": (raw(" {}"), "does not begin with {"),
    "byte order mark": (raw(b"\xef\xbb\xbf{}"), "does not begin with {"),
    "a list": (raw("[]"), "does not begin with {"),
    "not UTF-8": (raw(b'{"a\xff":1}'), "not UTF-8 at offset 11"),
    "UTF-16": (raw("{}".encode("utf-16-le")), "not JSON"),
    "cut in the middle of the header": (GOOD[:60], "cut off"),
    "cut in the payload": (GOOD[:-1], "cut off: its tensors end at byte"),
    "one byte too many": (GOOD + b"\0", "1 surplus bytes follow"),
    "two files one behind the other": (GOOD + GOOD, "surplus bytes follow"),
    "garbage after the object": (raw('{"w":1} x'), "Extra data"),
    "comma too many": (raw('{"w":1,}'), "not JSON"),
    "single quotes": (raw("{'w':1}"), "not JSON"),
    "comment": (raw('{/* x */"w":1}'), "not JSON"),
    "NaN": (raw('{"w":NaN}'), "NaN is not a number of JSON"),
    "Infinity": (raw('{"w":-Infinity}'), "-Infinity is not a number"),
    "deep lists": (raw('{"w":' + "[" * 100_000), "nested deeper than 4 levels"),
    "deep objects": (raw('{"w":' * 50_000), "nested deeper than 4 levels"),
    "number of 10 000 digits": (raw('{"w":' + "9" * 10_000 + "}"), "Its header is not valid"),
    "control character in a name": (raw('{"a\nb":1}'), "not JSON"),
    "doubled tensor": (raw('{"w":1,"w":2}'), "'w' occurs twice"),
    "doubled metadata": (raw('{"__metadata__":{},"__metadata__":{}}'), "'__metadata__' occurs twice"),
    "doubled key in the metadata": (raw('{"__metadata__":{"a":"1","a":"2"}}'), "'a' occurs twice"),
    "doubled dtype": (raw('{"w":{"dtype":"F16","dtype":"F16"}}'), "'dtype' occurs twice"),
    "lone surrogate": (raw('{"__metadata__":{"a":"\\udc00"}}'), "half a character"),
    "metadata with a number": (of({"__metadata__": {"a": 1}, **W}), "does not map text to text"),
    "metadata with null": (of({"__metadata__": {"a": None}, **W}), "does not map text to text"),
    "metadata nested": (of({"__metadata__": {"a": {"b": "c"}}, **W}), "does not map text to text"),
    "metadata as a list": (of({"__metadata__": ["a"], **W}), "does not map text to text"),
    "metadata as text": (of({"__metadata__": "a", **W}), "does not map text to text"),
    "metadata null": (of({"__metadata__": None, **W}), "does not map text to text"),
    "value over 8 MiB": (of({"__metadata__": {"a": "x" * (2**23 + 1)}, **W}), "at most 8388608 are read"),
    "entry null": (of({"w": None}), "is not dtype, shape and data_offsets"),
    "entry a number": (of({"w": 3}), "is not dtype, shape and data_offsets"),
    "entry without offsets": (of({"w": {"dtype": "F16", "shape": [2]}}), "is not dtype, shape and data_offsets"),
    "entry with more": (of({"w": entry(device="cuda")}), "is not dtype, shape and data_offsets"),
    "dtype in small letters": (of({"w": entry("f16")}), "unknown dtype 'f16'"),
    "dtype a list": (of({"w": entry(["F16"])}), "unknown dtype"),
    "dtype null": (of({"w": entry(None)}), "unknown dtype"),
    "shape negative": (of({"w": entry(shape=[-2])}), "has the shape"),
    "shape with fractions": (of({"w": entry(shape=[2.0])}), "has the shape"),
    "shape with truth": (of({"w": entry(shape=[True, 2])}), "has the shape"),
    "shape as text": (of({"w": entry(shape="2")}), "has the shape"),
    "shape of nine dimensions": (of({"w": entry(shape=[1] * 8 + [2])}), "at most 8 dimensions"),
    "shape over 2^31": (of({"w": entry(shape=[2**31 + 1])}), "at most 2147483648"),
    "shape that overflows": (of({"w": entry(shape=[2**31] * 8)}), "needs"),
    "offsets reversed": (of({"w": entry(offsets=[4, 0])}), "has the offsets"),
    "offsets negative": (of({"w": entry(offsets=[-4, 0])}), "has the offsets"),
    "three offsets": (of({"w": entry(offsets=[0, 2, 4])}), "has the offsets"),
    "offsets huge": (of({"w": entry(offsets=[2**70, 2**70 + 4])}), "a hole"),
    "sizes that do not fit": (of({"w": entry(shape=[3])}), "which needs 6 bytes"),
    "a hole at the start": (of({"w": entry(shape=[1], offsets=[2, 4])}), "a hole"),
    "a hole between": (of({"a": entry(shape=[0], offsets=[0, 0]), "w": entry(shape=[1], offsets=[2, 4])}), "a hole"),
    "two tensors in one place": (of({"a": entry(), "b": entry()}), "an overlap"),
    "half an overlap": (of({"a": entry(), "b": entry(offsets=[2, 6])}, bytes(6)), "an overlap"),
    "payload missing": (of(W, b""), "cut off"),
    "name of 513 characters": (of({"n" * 513: entry()}), "has 513 characters"),
    "PNG picture": (b"\x89PNG\r\n\x1a\n" + bytes(64), "a PNG picture"),
    "JPEG picture": (b"\xff\xd8\xff\xe0" + bytes(64), "a JPEG picture"),
    "WebP picture": (b"RIFF\0\0\0\0WEBPVP8 " + bytes(64), "a WebP picture"),
    "web page": (b"<!DOCTYPE html><html><body>404", "a web page"),
    "pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    "PyTorch zip": (b"PK\x03\x04" + bytes(64), "a PyTorch checkpoint"),
    "old pickle": (b"\x80\x02}q\0." + bytes(64), "an old pickle"),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(64), "a GGUF file"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(64), "a gzip archive"),
    "JSON": (b'{"error": "not found"}', "a JSON text"),
    "text": (b"hello, this is no model at all", "a text"),
}

UNREADABLE = "is unreadable"
XSS = "<img src=x onerror=alert(1)>"
SHOWN: dict[str, tuple[bytes, str, str, str]] = {
    "ranks of two halves that differ": (
        network_bytes({"lora_unet_x.lora_down.weight": (4, 8), "lora_unet_x.lora_up.weight": (8, 3)}),
        *("unknown", "lora", "do not fit together, first lora_unet_x"),
    ),
    "no tensors, no metadata": (raw("{}", b""), "unknown", "unknown", ""),
    "no tensors, some metadata": (of({"__metadata__": {"ss_v2": "False"}}, b""), "sd1", "unknown", ""),
    "spaces after the header": (raw(json.dumps(W) + "     "), "unknown", "unknown", ""),
    "an empty tensor": (of({"w": entry(shape=[0, 7], offsets=[0, 0])}, b""), "unknown", "unknown", ""),
    "empty name": (of({"": entry()}), "unknown", "unknown", ""),
    "names that are paths": (of({"../../etc/passwd.lora_down.weight": entry(shape=[1, 2])}), "unknown", "lora", ""),
    "names that are code": (of({f"{XSS}.alpha": entry("F32", [], [0, 4])}), "unknown", "unknown", ""),
    "only an up": (
        network_bytes({"lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": (4, 1)}),
        *("unknown", "lora", ""),
    ),
    "shapes of no dimension": (
        network_bytes({"lora_unet_x.lora_down.weight": (), "lora_unet_x.lokr_w1": ()}),
        *("unknown", "lokr", ""),
    ),
    "halves that do not fit": (
        network_bytes({"lora_unet_x.hada_w1_b": (3,), "lora_unet_x.hada_w2_a": ()}),
        *("unknown", "loha", ""),
    ),
    "alpha not finite": (network_bytes(SD1_LORA, alpha=float("nan")), "sd1", "lora", "not finite"),
    "alpha infinite": (network_bytes(SDXL_LORA, alpha=float("inf")), "sdxl", "lora", "not finite"),
    "tags cut off": (network_bytes(SD1_LORA, {"ss_tag_frequency": '{"a": {"b"'}), "sd1", "lora", UNREADABLE),
    "tags a list": (network_bytes(SD1_LORA, {"ss_tag_frequency": "[]"}), "sd1", "lora", UNREADABLE),
    "tags deep": (network_bytes(SD1_LORA, {"ss_tag_frequency": "[" * 90_000}), "sd1", "lora", UNREADABLE),
    "tags of odd counts": (
        network_bytes(SD1_LORA, {"ss_tag_frequency": '{"a":{"x":-1,"y":"z"}}'}),
        *("sd1", "lora", "2 entries"),
    ),
    "data sets broken": (network_bytes(SD1_LORA, {"ss_datasets": "{"}), "sd1", "lora", UNREADABLE),
    "buckets broken": (network_bytes(SD1_LORA, {"ss_bucket_info": "nope"}), "sd1", "lora", UNREADABLE),
    "code in every value": (
        network_bytes(SD1_LORA, dict.fromkeys(("ss_output_name", XSS, "modelspec.title"), XSS)),
        *("sd1", "lora", ""),
    ),
    "metadata of another family": (
        network_bytes(FLUX_LORA, {"ss_v2": "True"}),
        "flux",
        "lora",
        "the tensors are those of FLUX.1",
    ),
    "family nobody knows": (network_bytes(peft("transformer.blocks.0.new_attention.q", 1, 1)), "unknown", "lora", ""),
    "control characters": (network_bytes(SD1_LORA, {"ss_output_name": "\x1b[31m\0\u202e"}), "sd1", "lora", ""),
    "a thousand keys": (network_bytes(SD1_LORA, {f"k{n}": "v" for n in range(1000)}), "sd1", "lora", ""),
    "a value of a megabyte": (network_bytes(SD1_LORA, {"ss_training_comment": "x" * 2**20}), "sd1", "lora", ""),
    "5000 layers": (
        network_bytes(dict.fromkeys((f"lora_unet_down_blocks_{n}_x.diff" for n in range(5000)), (1,))),
        *("unknown", "full", ""),
    ),
    "ranks that differ": (
        network_bytes({**SD1_LORA, **lora("lora_unet_mid_block_attentions_0_proj_in", 4, 4, 2)}),
        *("sd1", "lora", ""),
    ),
}
