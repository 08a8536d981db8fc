"""Pictures that are there twice."""

from __future__ import annotations

import hashlib
import os
from array import array
from io import FileIO

from ..errors import Problems
from .listing import some
from .records import ImageRecord

SAMPLE_BYTES = 4096


def warn_of_twins(records: list[ImageRecord], file_sizes: array[int], problems: Problems) -> None:
    """Warn of files of equal size whose beginnings and ends are equal; compressed pictures that differ, differ there.

    Args:
        records: pictures of one folder.
        file_sizes: bytes of each.
    """
    firsts: dict[int, int] = {}
    suspects: dict[int, list[int]] = {}
    for place, size in enumerate(file_sizes):
        first = firsts.setdefault(size, place)
        if first != place:
            suspects.setdefault(size, [first]).append(place)
    twins: list[str] = []
    for places in suspects.values():
        seen: dict[bytes, str] = {}
        for place in places:
            record = records[place]
            first_name = seen.setdefault(sample_digest(record.path), record.name)
            if first_name != record.name:
                twins.append(f"{first_name} = {record.name}")
    if twins:
        problems.warn(f"{records[0].folder}: {len(twins)} pictures are there twice: {some(twins)}.")


def sample_digest(path: str) -> bytes:
    """Of the beginning and the end of a file; of its path when it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with FileIO(path) as file:
            digest.update(file.read(SAMPLE_BYTES))
            if file.seek(0, os.SEEK_END) > SAMPLE_BYTES:
                file.seek(-SAMPLE_BYTES, os.SEEK_END)
                digest.update(file.read())
    except OSError:
        # Whoever reads the picture will say what is wrong with it.
        digest.update(os.fsencode(path))
    return digest.digest()
