"""Network weights in files: written by one deterministic writer, verified, and read strictly.

A `.safetensors` file has the library's own layout, metadata in order of their names, and the two `sshs_*` hashes.
`.ckpt`, `.pt` and `.bin` are torch's format of the same flat dict, without metadata. Weights that are not finite never
get the name they were meant for.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..errors import ModelFileError
from ..files import durable_write
from ..formats.lora_metadata import sshs_hashes, training_part
from ..formats.safetensors_header import header_bytes, lay_out, payload_blocks, read_header
from ..models.foreign_writers import nonfinite_weights, not_finite
from ..models.tensor_files import DTYPES, open_tensors

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
PICKLE_SUFFIXES = (".ckpt", ".pt", ".bin")
NONFINITE = ".nonfinite.safetensors"
SHOWN = 5


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype | None, metadata: Mapping[str, str]
) -> None:
    """Write a network's file durably.

    Args:
        path: `.safetensors`, `.ckpt`, `.pt` or `.bin`; the folder must exist.
        tensors: by their names in the file; on any device.
        dtype: what floating tensors are cast to, alpha included; None leaves them as they are.
        metadata: text by name; `sshs_*` hashes are added.

    Raises:
        NumericError: values are not finite; the weights lie beside, as `*.nonfinite.safetensors`.
        StorageError: the disk refused; an older file of that name is untouched.
    """
    on_cpu = {name: _cast(tensor, dtype) for name, tensor in tensors.items()}
    bad = not_finite(on_cpu)
    if bad:
        kept = path.with_name(path.stem + NONFINITE)
        _write_safetensors(kept, on_cpu, metadata)
        raise nonfinite_weights(path, bad, len(on_cpu), kept)
    if path.suffix in PICKLE_SUFFIXES:
        durable_write(path, lambda file: write_torch_file(on_cpu, file), verify=_verify_pickle(on_cpu))
    else:
        _write_safetensors(path, on_cpu, metadata)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a network's file by name, in memory; nothing stays mapped.

    Raises:
        ModelFileError: missing, damaged, unsafe, changing, or holding values that are not finite.
    """
    before = _identity(path)
    opened = open_tensors(path, map_file=False)
    tensors = {name: tensor.clone() for name, tensor in opened.tensors.items()}
    if _identity(path) != before:
        raise ModelFileError(
            where=str(path),
            what="The file changed while it was read.",
            fix="Wait for the other program, then try again.",
        )
    bad = not_finite(tensors)
    if bad:
        raise ModelFileError(
            where=str(path),
            what=f"{len(bad)} of {len(tensors)} tensors are not finite, such as {', '.join(bad[:SHOWN])}.",
            fix="Use an earlier file of that run.",
        )
    return tensors


def write_torch_file(content: object, file: BinaryIO) -> None:
    """torch's own format, with a disk's refusal told as one."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        # torch tries to finish its archive after a failed write and reports that failure instead.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


def _write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    layout = lay_out((name, DTYPE_NAMES[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items())
    training_header = header_bytes(training_part(metadata), layout)
    hashes = sshs_hashes(training_header, _blocks(tensors, layout))
    header = header_bytes(dict(sorted({**metadata, **hashes}.items())), layout)

    def write(file: BinaryIO) -> None:
        file.write(header)
        for block in _blocks(tensors, layout):
            file.write(block)

    def verify(temp: Path) -> None:
        written = read_header(temp)
        if written.tensors != layout or _sha256(payload_blocks(temp, len(header))) != hashes["sshs_model_hash"]:
            raise _not_as_written()

    size = len(header) + sum(entry.end - entry.begin for entry in layout.values())
    durable_write(path, write, verify=verify, expected_bytes=size)


def _blocks(tensors: Mapping[str, Tensor], order: Iterable[str]) -> Iterator[memoryview]:
    """The bytes of each tensor, in order."""
    for name in order:
        yield tensors[name].reshape(-1).view(torch.uint8).numpy().data


def _cast(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", wanted).contiguous()


def _verify_pickle(tensors: Mapping[str, Tensor]) -> Callable[[Path], None]:
    def verify(temp: Path) -> None:
        written = torch.load(temp, map_location="cpu", weights_only=True)
        if written.keys() != tensors.keys() or not all(torch.equal(written[name], tensors[name]) for name in tensors):
            raise _not_as_written()

    return verify


def _sha256(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _not_as_written() -> OSError:
    return OSError(errno.EIO, "what was read back is not what was written")
