"""Which files hold the same tensors, whatever their metadata say: told in two steps, so that little has to be read.

Only files with equally many bytes of tensors can be copies. Of those, 16 samples are read, and only files with equal
samples are read from beginning to end. In a library without copies next to nothing is read.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import ModelFileError
from ..formats.safetensors_header import Header, payload_blocks, read_header
from .index import SAVE_SECONDS, LibraryIndex
from .rows import Row

SAMPLES, SAMPLE_BYTES = 16, 4096


@dataclass(frozen=True)
class Work:
    """What is still to be read, in bytes of tensors."""

    samples: tuple[Row, ...]
    whole: tuple[Row, ...]

    @property
    def bytes(self) -> int:
        """For a bar of progress."""
        sampled = sum(min(row.payload, SAMPLES * SAMPLE_BYTES) for row in self.samples)
        return sampled + sum(row.payload for row in self.whole)


def work_left(rows: Iterable[Row]) -> Work:
    """What has to be read until it is known which of these files are copies."""
    listed = [row for row in rows if row.payload]
    sizes = _several(listed, lambda row: (row.payload,))
    samples = tuple(row for row in sizes if not row.samples)
    equal = _several([row for row in sizes if row.samples], lambda row: (row.payload, row.samples))
    return Work(samples, tuple(row for row in equal if not row.tensors))


def duplicates(rows: Iterable[Row]) -> list[list[Row]]:
    """Groups of files with the same tensors, every byte compared, the largest group first; metadata may differ."""
    groups = _grouped([row for row in rows if row.tensors], lambda row: (row.tensors,))
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda one: (-len(one), one[0].path))


class CopySearch:
    """Reads what `work_left` names, a megabyte at a time, so that it can be left and taken up again at any moment.

    Args:
        index: of the library; what is found out is kept there.
        should_stop: asked at each megabyte.
        progress: told (bytes read, bytes in all).
    """

    def __init__(
        self, index: LibraryIndex, should_stop: Callable[[], bool], progress: Callable[[int, int], None] | None = None
    ) -> None:
        self._index, self._should_stop = index, should_stop
        self._progress, self._done, self._total = progress, 0, 0

    def run(self) -> bool:
        """Search until all copies are known; False when it was stopped before."""
        saved = time.monotonic()
        while (work := work_left(self._index.rows())).bytes:
            self._total = self._done + work.bytes
            for row in (*work.samples, *work.whole):
                if self._should_stop():
                    self._index.save()
                    return False
                self._index.change(self._with_samples(row) if not row.samples else self._with_tensors(row))
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._index.save()
                    saved = time.monotonic()
        self._index.save()
        return True

    def _with_samples(self, row: Row) -> Row:
        try:
            found = _sampled(Path(row.path), _same_header(row))
        except (ModelFileError, OSError):
            found = _alone(row)
        self._count(min(row.payload, SAMPLES * SAMPLE_BYTES))
        return replace(row, samples=found)

    def _with_tensors(self, row: Row) -> Row:
        """The row with the hash of all its tensors; as it was when the search is stopped."""
        digest, left = hashlib.sha256(), row.payload
        try:
            for block in payload_blocks(Path(row.path), _same_header(row).payload_offset):
                if self._should_stop():
                    return row
                digest.update(block)
                left -= len(block)
                self._count(len(block))
        except (ModelFileError, OSError):
            self._count(left)
            return replace(row, tensors=_alone(row))
        return replace(row, tensors=digest.hexdigest())

    def _count(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


def _alone(row: Row) -> str:
    """For a file that cannot be read any more: the next refresh says why, and until then it is nobody's copy."""
    return f"unread {row.path}"


def _same_header(row: Row) -> Header:
    header = read_header(Path(row.path))
    if header.payload_bytes != row.payload:
        raise ModelFileError(where=row.path, what="The file was changed meanwhile.", fix="Look again.")
    return header


def _sampled(path: Path, header: Header) -> str:
    digest = hashlib.sha256()
    room = max(header.payload_bytes - SAMPLE_BYTES, 0)
    with path.open("rb", buffering=0) as file:
        for number in range(SAMPLES):
            file.seek(header.payload_offset + room * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:32]


def _several(rows: list[Row], key: Callable[[Row], tuple[object, ...]]) -> list[Row]:
    """Rows that share their key with another one."""
    return [row for group in _grouped(rows, key).values() if len(group) > 1 for row in group]


def _grouped(rows: list[Row], key: Callable[[Row], tuple[object, ...]]) -> Mapping[tuple[object, ...], list[Row]]:
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
