"""Latents and masks that are computed once, found again by the content of the pictures.

A value's key is made from the picture's bytes, how it is fitted to its bucket, and the encoder; never from its name.
The noise of the VAE's sample is seeded by the content too, so that cached and uncached training see the same latents.
Latents are kept in float32, because rounding them would break that.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..options.dataset_plan import DatasetPlan
from .batch import LatentGeometry
from .buckets import Size
from .draws import draw_seed
from .records import ImageRecord
from .store import DiskStore, MemoryStore, Store, aligned

CACHE_VERSION = 1
FLOAT_BYTES = 4
DIGEST_BYTES = 32
PLAIN, FLIPPED, MASK = 0, 1, 2


@dataclass(frozen=True)
class PictureList:
    """Pictures that share a plan: the training or the validation pictures of one dataset."""

    plan: DatasetPlan
    images: Sequence[ImageRecord]


def posterior_noise(digest: bytes, bucket_wh: Size, geometry: LatentGeometry, *, flipped: bool) -> Tensor:
    """(C, h, w) standard normal float32, the same for the same picture in the same bucket, in every run."""
    width, height = bucket_wh
    generator = torch.Generator().manual_seed(
        draw_seed(0, "posterior", digest[:DIGEST_BYTES].hex(), width, height, int(flipped))
    )
    return torch.randn(
        geometry.channels, height // geometry.downscale, width // geometry.downscale, generator=generator
    )


def to_float(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) 8-bit to (3, H, W) float32 in -1..1: x / 127.5 - 1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float().div_(127.5).sub_(1.0).contiguous()


class LatentCache:
    """Latents by list and place of their picture.

    Args:
        lists: the pictures; places in them are the cache's addresses.
        geometry: of the latents.
        folder: the cache folder; None keeps everything in memory.
        fingerprint: of the encoder.
    """

    def __init__(
        self, lists: Sequence[PictureList], geometry: LatentGeometry, folder: Path | None, fingerprint: str
    ) -> None:
        self.lists, self.geometry, self.folder = lists, geometry, folder
        name = hashlib.sha256(f"{CACHE_VERSION}\x1f{fingerprint}\x1f{geometry}".encode()).hexdigest()[:16]
        self._pack = f"latents-{name}"
        self._starts = [np.full((len(part.images), 3), -1, dtype=np.int64) for part in lists]
        self._store: Store | None = self._open()
        self._buffer: mmap.mmap | None = None

    @property
    def store(self) -> Store:
        """Where the values are kept, while the cache is being filled."""
        assert self._store is not None, "the cache is closed"
        return self._store

    def close(self, digests: Sequence[Sequence[bytes | None]]) -> None:
        """Look up every place by the content of its picture; from now on the cache is only read."""
        entries = self.store.entries()
        for part, starts, known in zip(self.lists, self._starts, digests, strict=True):
            for place, (record, digest) in enumerate(zip(part.images, known, strict=True)):
                if digest is None:
                    continue
                for variant, key in self.keys(part.plan, record, digest).items():
                    entry = entries.get(key)
                    # An empty value says that the picture has no alpha channel.
                    starts[place, variant] = entry.start if entry and entry.length else -1
        self._buffer = self.store.buffer()
        # A table of keys has no place in the workers that read.
        self._store = None

    def has(self, part: int, place: int) -> bool:
        """False for a picture that was left out."""
        return bool(self._starts[part][place, PLAIN] >= 0)

    def latents(self, part: int, place: int, *, flipped: bool) -> Tensor:
        """(C, h, w) float32; a view of the cache, not to be written to."""
        width, height = self._cells(self.lists[part].images[place].bucket_wh)
        start = int(self._starts[part][place, FLIPPED if flipped else PLAIN])
        count = self.geometry.channels * height * width
        assert self._buffer is not None, "the cache was not filled"
        flat = torch.frombuffer(self._buffer, dtype=torch.float32, count=count, offset=start)
        return flat.view(self.geometry.channels, height, width)

    def mask(self, part: int, place: int, *, flipped: bool) -> Tensor | None:
        """(h, w) float32 in 0..1, or None when the picture has no mask."""
        start = int(self._starts[part][place, MASK])
        if start < 0:
            return None
        width, height = self._cells(self.lists[part].images[place].bucket_wh)
        assert self._buffer is not None
        mask = torch.frombuffer(self._buffer, dtype=torch.float32, count=height * width, offset=start)
        return mask.view(height, width).flip(1) if flipped else mask.view(height, width)

    def bytes_of(self, plan: DatasetPlan, record: ImageRecord) -> int:
        """Room that the values of one picture take, at most."""
        width, height = self._cells(record.bucket_wh)
        planes = [1 if variant == MASK else self.geometry.channels for variant in self._variants(plan, record)]
        return sum(aligned(width * height * FLOAT_BYTES * count) for count in planes)

    def keys(self, plan: DatasetPlan, record: ImageRecord, digest: bytes) -> dict[int, bytes]:
        """Variant to key, for every variant this picture needs."""
        subset = plan.subsets[record.subset]
        interpolation = subset.resize_interpolation or plan.resize_interpolation
        fit = f"{record.bucket_wh}{record.resized_wh}{interpolation}"
        keys = {}
        for variant in self._variants(plan, record):
            content = digest if variant == MASK else digest[:DIGEST_BYTES]
            keys[variant] = hashlib.sha256(content + f"{fit}{variant}".encode()).digest()
        return keys

    def __getstate__(self) -> dict[str, object]:
        # Spawned workers map the pack again; what is in memory cannot be sent.
        assert self.folder is not None, "a cache in memory stays in its process"
        return {**self.__dict__, "_buffer": None, "_store": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        assert self.folder is not None
        self._buffer = DiskStore(self.folder, self._pack).buffer()

    def _open(self) -> Store:
        if self.folder is None:
            return MemoryStore(sum(self.bytes_of(part.plan, record) for part in self.lists for record in part.images))
        return DiskStore(self.folder, self._pack)

    def _cells(self, bucket_wh: Size) -> Size:
        return bucket_wh[0] // self.geometry.downscale, bucket_wh[1] // self.geometry.downscale

    def _variants(self, plan: DatasetPlan, record: ImageRecord) -> Iterator[int]:
        subset = plan.subsets[record.subset]
        yield PLAIN
        if subset.flip_aug:
            yield FLIPPED
        if subset.alpha_mask or record.mask_path is not None:
            yield MASK
