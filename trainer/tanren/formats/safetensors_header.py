"""The header of a safetensors file: read strictly, written as the library writes it, replaced without touching tensors.

The file: 8 bytes little-endian length N; N bytes of UTF-8 JSON that begin with `{` and may end in spaces; then the
payload, which the tensors of the header tile exactly. `__metadata__` maps text to text. An entry is
`"name": {"dtype": "F16", "shape": [..], "data_offsets": [begin, end]}`, offsets counted from the start of the payload.

Refused, although the library reads some of it: duplicate keys, leading blanks, holes, overlaps, surplus bytes, unknown
dtypes, more than 100 000 tensors, names over 512 characters, more than 8 dimensions, dimensions over 2^31, values over
8 MiB. Hosts want `{"` at once and read every header of a folder, so ours are written compact and padded to 8 bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ..errors import ModelFileError
from ..files import durable_write
from .file_kind import HEAD_BYTES, SAFETENSORS, kind_of_bytes
from .header_entries import BITS, INT, MAX_DIM, MAX_NAME, MAX_RANK, MAX_TENSORS, METADATA, TensorEntry, quick_content

HEADER_LIMIT = 16 * 2**20
LIBRARY_LIMIT = 100_000_000
MAX_VALUE = 8 * 2**20
BLOCK_BYTES = 2**20
AGAIN = "Download or copy the file again."
RANK = {dtype: rank for rank, dtype in enumerate(BITS)}


@dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Args:
        metadata: text by name; empty when there is none.
        tensors: entries in the order of the header.
        payload_offset: bytes before the payload.
        payload_bytes: its size.
    """

    metadata: dict[str, str]
    tensors: dict[str, TensorEntry]
    payload_offset: int
    payload_bytes: int


def read_header(path: Path, *, limit: int = HEADER_LIMIT) -> Header:
    """Read and check the header; not a byte of the tensors is read.

    Args:
        path: a regular file.
        limit: largest header accepted, in bytes.

    Raises:
        ModelFileError: the file is damaged or of another kind; names the file, the offset and the limit.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ModelFileError(where=str(path), what="It is not a file.", fix="Give the path of a .safetensors file.")
        with path.open("rb") as file:
            return read_header_of(file, path, limit=limit)
    except OSError as error:
        raise ModelFileError(
            where=str(path), what="The file cannot be read.", why=str(error.strerror or error), fix="Check the path."
        ) from error


def read_header_of(file: BinaryIO, path: Path, *, limit: int = HEADER_LIMIT) -> Header:
    """The same from an open file at its start, which is left at the start of the payload; `path` is for messages."""
    size = os.fstat(file.fileno()).st_size
    text = _header_text(file, path, size, min(limit, LIBRARY_LIMIT))
    payload_offset = 8 + len(text)
    quick = quick_content(text)
    if quick is not None:
        metadata, tensors = _check_metadata(quick[0], path), quick[1]
    else:
        content = _parse(text, path)
        metadata = _check_metadata(content.pop(METADATA, {}), path)
        tensors = _check_tensors(content, path)
    _check_tiling(tensors, size - payload_offset, payload_offset, path)
    return Header(metadata, tensors, payload_offset, size - payload_offset)


def lay_out(tensors: Iterable[tuple[str, str, tuple[int, ...]]]) -> dict[str, TensorEntry]:
    """Place tensors (name, dtype, shape) as the library does: wide dtypes first, then by name, without gaps."""
    entries, offset = {}, 0
    for name, dtype, shape in sorted(tensors, key=lambda one: (RANK[one[1]], one[0])):
        end = offset + prod(shape) * BITS[dtype] // 8
        entries[name] = TensorEntry(dtype, shape, offset, end)
        offset = end
    return entries


def header_bytes(metadata: Mapping[str, str], tensors: Mapping[str, TensorEntry]) -> bytes:
    """Length and header, ready for the payload: metadata first, in the order given, padded with spaces to 8 bytes.

    Raises:
        ValueError: a value is not text, or the header is larger than readers accept.
    """
    content: dict[str, Any] = {}
    if metadata:
        wrong = [name for name, value in metadata.items() if not isinstance(value, str)]
        if wrong:
            raise ValueError(f"metadata values must be text: {', '.join(wrong)}")
        content["__metadata__"] = dict(metadata)
    for name, entry in tensors.items():
        content[name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": (entry.begin, entry.end)}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > LIBRARY_LIMIT:
        raise ValueError(f"a header of {len(text)} bytes is larger than the {LIBRARY_LIMIT} that readers accept")
    return len(text).to_bytes(8, "little") + text


def replace_header(path: Path, metadata: Mapping[str, str]) -> None:
    """Give a file other metadata; its tensors stay byte for byte, which is verified before the file is replaced.

    Raises:
        ModelFileError: the file is damaged, or was changed by somebody else meanwhile.
        StorageError: it could not be written.
    """
    before = path.stat()
    header = read_header(path)
    fresh = header_bytes(metadata, header.tensors)
    digest = hashlib.sha256()

    def write(target: BinaryIO) -> None:
        target.write(fresh)
        for block in payload_blocks(path, header.payload_offset):
            digest.update(block)
            target.write(block)

    def verify(temp: Path) -> None:
        written = hashlib.sha256()
        for block in payload_blocks(temp, len(fresh)):
            written.update(block)
        after = path.stat()
        unchanged = (before.st_size, before.st_mtime_ns, before.st_ino) == (
            after.st_size,
            after.st_mtime_ns,
            after.st_ino,
        )
        if not unchanged or read_header(temp).tensors != header.tensors or written.digest() != digest.digest():
            raise ModelFileError(
                where=str(path),
                what="The file changed while it was read.",
                fix="Wait for the other program, then try again.",
            )

    durable_write(path, write, verify=verify, expected_bytes=len(fresh) + header.payload_bytes)


def payload_blocks(path: Path, offset: int) -> Iterator[bytes]:
    """The bytes of a file from `offset` on, a megabyte at a time."""
    with path.open("rb") as file:
        file.seek(offset)
        while block := file.read(BLOCK_BYTES):
            yield block


def _header_text(file: BinaryIO, path: Path, size: int, limit: int) -> bytes:
    """The N bytes of JSON, after N itself is known to be possible."""
    head = file.read(HEAD_BYTES)
    kind = kind_of_bytes(head)
    if kind not in (None, SAFETENSORS):
        _refuse(path, f"It is {kind}, not a safetensors file.")
    if len(head) < 8:
        _refuse(path, f"It has only {len(head)} bytes; a safetensors file has at least 8.")
    length = int.from_bytes(head[:8], "little")
    if length > size - 8:
        _refuse(path, f"It is cut off: its header should end at byte {8 + length}, but the file has {size} bytes.")
    if length > limit:
        _refuse(path, f"Its header claims {length} bytes (at offset 0); at most {limit} are read.")
    file.seek(8)
    text = file.read(length)
    if len(text) != length or not text.startswith(b"{"):
        _refuse(path, "Its header does not begin with { at offset 8.")
    return text


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    """JSON to dicts, with doubled keys, NaN, deep nesting and bad UTF-8 refused."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for name, value in items:
            if name in content:
                raise ValueError(f"{_short(name)} occurs twice")
            if not (_is_text(name) and (_is_text(value) or not isinstance(value, str))):
                raise ValueError(f"{_short(name)} holds half a character (a lone surrogate)")
            content[name] = value
        return content

    def constant(word: str) -> NoReturn:
        raise ValueError(f"{word} is not a number of JSON")

    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_int=INT, parse_constant=constant)
    except UnicodeDecodeError as error:
        _refuse(path, f"Its header is not UTF-8 at offset {8 + error.start}.")
    except json.JSONDecodeError as error:
        _refuse(path, f"Its header is not JSON at offset {8 + error.pos}: {error.msg}.")
    except ValueError as error:
        _refuse(path, f"Its header is not valid: {error}.")
    except RecursionError:
        _refuse(path, "Its header is nested deeper than 4 levels.")
    return dict(content)


def _check_metadata(metadata: Any, path: Path) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(path, "Its __metadata__ does not map text to text.")
    total = 0
    for name, value in metadata.items():
        length = len(value.encode("utf-8"))
        total += len(name) + length
        if length > MAX_VALUE:
            _refuse(path, f"Its metadata {_short(name)} has {length} bytes; at most {MAX_VALUE} are read.")
    if total > HEADER_LIMIT:
        _refuse(path, f"Its metadata has {total} bytes; at most {HEADER_LIMIT} are read.")
    return dict(metadata)


def _check_tensors(content: dict[str, Any], path: Path) -> dict[str, TensorEntry]:
    if len(content) > MAX_TENSORS:
        _refuse(path, f"It lists {len(content)} tensors; at most {MAX_TENSORS} are read.")
    return {name: _check_entry(name, entry, path) for name, entry in content.items()}


def _check_entry(name: str, entry: Any, path: Path) -> TensorEntry:
    if len(name) > MAX_NAME:
        _refuse(path, f"The tensor name {_short(name)} has {len(name)} characters; at most {MAX_NAME} are read.")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"The entry of {_short(name)} is not dtype, shape and data_offsets.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        _refuse(path, f"The tensor {_short(name)} has the unknown dtype {_short(str(dtype))}.")
    if not _are_counts(shape) or len(shape) > MAX_RANK or any(dim > MAX_DIM for dim in shape):
        _refuse(
            path,
            f"The tensor {_short(name)} has the shape {_short(str(shape))}; "
            f"at most {MAX_RANK} dimensions of at most {MAX_DIM} are read.",
        )
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _refuse(path, f"The tensor {_short(name)} has the offsets {_short(str(offsets))}.")
    begin, end = offsets
    if prod(shape) * BITS[dtype] != (end - begin) * 8:
        _refuse(
            path,
            f"The tensor {_short(name)} is {dtype} {shape}, which needs {prod(shape) * BITS[dtype] / 8:g} bytes, "
            f"but its offsets span {end - begin}.",
        )
    return TensorEntry(dtype, tuple(shape), begin, end)


def _check_tiling(tensors: dict[str, TensorEntry], payload_bytes: int, payload_offset: int, path: Path) -> None:
    expected = 0
    for name, entry in _by_place(tensors):
        if entry.begin != expected:
            kind = "a hole" if entry.begin > expected else "an overlap"
            _refuse(path, f"There is {kind} before {_short(name)}, at offset {payload_offset + expected}.")
        expected = entry.end
    if expected > payload_bytes:
        _refuse(
            path,
            f"It is cut off: its tensors end at byte {payload_offset + expected}, "
            f"but the file has {payload_offset + payload_bytes} bytes.",
        )
    if expected < payload_bytes:
        _refuse(
            path, f"{payload_bytes - expected} surplus bytes follow its tensors at offset {payload_offset + expected}."
        )


def _by_place(tensors: dict[str, TensorEntry]) -> Iterable[tuple[str, TensorEntry]]:
    """The tensors as they lie in the payload, which is the order that most headers have."""
    begins = [entry.begin for entry in tensors.values()]
    if begins == sorted(begins):
        return tensors.items()
    return sorted(tensors.items(), key=lambda one: (one[1].begin, one[1].end))


def _is_text(value: Any) -> bool:
    """True for text that UTF-8 can say."""
    try:
        return isinstance(value, str) and value.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _refuse(path: Path, what: str) -> NoReturn:
    raise ModelFileError(where=str(path), what=what, fix=AGAIN)
