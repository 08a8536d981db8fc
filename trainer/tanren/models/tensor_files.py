"""Weights in files, opened without a second copy of them.

A safetensors file is mapped: its tensors are views of the file, read by the system when touched. Or it is read into
memory as a whole. Where a tensor is converted or moved, `place` gives its pages back at once, so that loading never
holds the file and the model together.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ModelFileError
from ..formats.base_model import is_safetensors
from ..formats.safetensors_header import Header, TensorEntry, read_header
from .pickles import read_pickle

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "C64": torch.complex64,
}
BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Stamp:
    """How a file is recognised as the same: size in bytes, time of change in nanoseconds, and inode."""

    path: Path
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp | None:
        """The present stamp of a file; None when it is gone."""
        try:
            stat = path.stat()
        except OSError:
            return None
        return cls(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _keep(tensor: Tensor) -> None:
    """Give nothing back: the tensor is not a view of a file."""


@dataclass(frozen=True)
class TensorFile:
    """The weights of one or several files by name.

    Args:
        path: for messages.
        tensors: name -> tensor on the CPU, in the file's dtype.
        metadata: texts of the safetensors header.
        give_back: tells the system that the pages behind a mapped tensor are not needed any more.
        stamps: what the files looked like when they were opened.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    give_back: Callable[[Tensor], None] = _keep
    stamps: tuple[Stamp, ...] = ()

    def place(self, tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The tensor where and how it is needed; the file's own when nothing has to change.

        A tensor is placed once: what was read into memory is gone afterwards.
        """
        placed = tensor.to(device, dtype)
        if placed is not tensor:
            self.give_back(tensor)
        return placed

    def check_unchanged(self) -> None:
        """Called when the last weight was read.

        Raises:
            ModelFileError: another program changed a file meanwhile, so what was read may be a mixture.
        """
        for stamp in self.stamps:
            if Stamp.of(stamp.path) != stamp:
                raise ModelFileError(
                    where=str(stamp.path),
                    what=f"{stamp.path.name} was changed by another program while it was read.",
                    fix="Wait until the other program is done, then start again.",
                )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


def open_tensors(path: Path, *, map_file: bool = True) -> TensorFile:
    """Open a safetensors file, or one in torch's own format under one of its names.

    Raises:
        ModelFileError: missing, damaged, unsafe, or no weights at all.
    """
    is_safe, stamp = is_safetensors(path), Stamp.of(path)
    if is_safe:
        header = read_header(path)
        _check_dtypes(path, header)
        opened = _mapped(path, header) if map_file else _read(path, header)
    else:
        opened = TensorFile(path, read_pickle(path))
    return replace(opened, stamps=(stamp,) if stamp else ())


def _check_dtypes(path: Path, header: Header) -> None:
    for name, entry in header.tensors.items():
        if entry.dtype not in DTYPES:
            raise ModelFileError(
                where=str(path),
                what=f"{path.name} holds numbers of the type {entry.dtype}, which torch does not have.",
                why=f"The first of them is {name[:80]}.",
                fix="Take a version of the model in float16, bfloat16 or float32.",
            )


def _mapped(path: Path, header: Header) -> TensorFile:
    """Private and writable in memory: merging into the weights never reaches the file."""
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return _in_memory(path, header, mapping)


def _in_memory(path: Path, header: Header, mapping: mmap.mmap) -> TensorFile:
    """Tensors that are views of a file's bytes."""
    start_of_map = _address(mapping)

    def give_back(tensor: Tensor) -> None:
        # Views of one matrix are given back one by one, so the pages at both ends may still be needed.
        first = tensor.data_ptr() - start_of_map
        end = (first + tensor.numel() * tensor.element_size()) // mmap.PAGESIZE * mmap.PAGESIZE
        begin = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE
        if 0 <= begin < end <= len(mapping) and hasattr(mapping, "madvise"):
            mapping.madvise(mmap.MADV_DONTNEED, begin, end - begin)

    tensors = {name: _view(mapping, header, entry) for name, entry in header.tensors.items()}
    return TensorFile(path, tensors, header.metadata, give_back)


def _view(mapping: mmap.mmap, header: Header, entry: TensorEntry) -> Tensor:
    dtype = DTYPES[entry.dtype]
    start, size = header.payload_offset + entry.begin, entry.end - entry.begin
    if size == 0:
        return torch.empty(entry.shape, dtype=dtype)
    if start % dtype.itemsize:
        # Old writers did not pad the header; such a tensor cannot be used where it lies.
        return torch.frombuffer(bytearray(mapping[start : start + size]), dtype=dtype).view(entry.shape)
    return torch.frombuffer(mapping, dtype=dtype, count=size // dtype.itemsize, offset=start).view(entry.shape)


def _address(mapping: mmap.mmap) -> int:
    return torch.frombuffer(mapping, dtype=torch.uint8, count=1).data_ptr()


def _read(path: Path, header: Header) -> TensorFile:
    """The same bytes, in memory of our own from the start."""
    size = header.payload_offset + header.payload_bytes
    # Shared memory, which is what Python maps when nothing is said, would not be freed page by page.
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    mapping = mmap.mmap(-1, size, **private)
    with path.open("rb", buffering=0) as file, memoryview(mapping) as content:
        done = 0
        while done < size and (count := file.readinto(content[done : done + BLOCK_BYTES])):
            done += count
    if done < size:
        raise ModelFileError(where=str(path), what=f"{path.name} ends early.", fix="Download it again.")
    return _in_memory(path, header, mapping)
