"""Which pictures form which batch, and in which order the batches come: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from .buckets import Size
from .draws import draw_seed
from .records import ImageRecord, Scan


class BatchPlan(NamedTuple):
    """The pictures of one batch, before anything is read.

    Args:
        epoch: from 0.
        dataset: index of the dataset; batches never mix them.
        bucket_wh: pixels, shared by all.
        samples: (place of the picture, number of its repeat).
        is_validation: the places are those of the held-out pictures.
    """

    epoch: int
    dataset: int
    bucket_wh: Size
    samples: tuple[tuple[int, int], ...]
    is_validation: bool = False


@dataclass(frozen=True)
class Shelf:
    """All draws of one bucket of one dataset: place of the picture and number of the repeat."""

    dataset: int
    bucket_wh: Size
    places: NDArray[np.int32]
    repeats: NDArray[np.int32]
    batch_size: int

    @property
    def batches(self) -> int:
        """Batches an epoch; the last one may be smaller."""
        return -(-len(self.places) // self.batch_size)


def shelves_of(images: Sequence[ImageRecord], dataset: int, batch_size: int) -> list[Shelf]:
    """Pictures by bucket, in ascending order of the bucket."""
    by_bucket: dict[Size, list[int]] = {}
    for place, image in enumerate(images):
        by_bucket.setdefault(image.bucket_wh, []).append(place)
    shelves = []
    for bucket, found in sorted(by_bucket.items()):
        counts = np.array([images[place].repeats for place in found], dtype=np.int64)
        places = np.repeat(np.array(found, dtype=np.int32), counts)
        firsts = np.repeat(np.cumsum(counts) - counts, counts)
        repeats = (np.arange(len(places)) - firsts).astype(np.int32)
        shelves.append(Shelf(dataset, bucket, places, repeats, batch_size))
    return shelves


def training_shelves(scan: Scan) -> list[Shelf]:
    """The training and regularization pictures of all datasets."""
    return [
        shelf
        for index, dataset in enumerate(scan.datasets)
        for shelf in shelves_of(dataset.images, index, dataset.plan.batch_size)
    ]


def validation_batches(scan: Scan) -> list[BatchPlan]:
    """The held-out pictures, always in the same batches."""
    batches = []
    for index, dataset in enumerate(scan.datasets):
        for shelf in shelves_of(dataset.validation, index, dataset.plan.batch_size):
            for start in range(0, len(shelf.places), shelf.batch_size):
                samples = tuple((int(place), 0) for place in shelf.places[start : start + shelf.batch_size])
                batches.append(BatchPlan(0, index, shelf.bucket_wh, samples, is_validation=True))
    return batches


class EpochOrder(Sequence[BatchPlan]):
    """The batches of one epoch over all processes; plans are made when they are asked for."""

    def __init__(self, shelves: Sequence[Shelf], seed: int, epoch: int) -> None:
        self._shelves, self._epoch = shelves, epoch
        self._orders = [
            shuffled(len(shelf.places), draw_seed(seed, "shuffle", epoch, shelf.dataset, *shelf.bucket_wh))
            for shelf in shelves
        ]
        owners = np.repeat(np.arange(len(shelves), dtype=np.int32), [shelf.batches for shelf in shelves])
        numbers = [np.arange(shelf.batches, dtype=np.int32) for shelf in shelves]
        order = shuffled(len(owners), draw_seed(seed, "batch order", epoch))
        self._owners = owners[order]
        self._numbers = (np.concatenate(numbers) if numbers else np.zeros(0, np.int32))[order]

    def __len__(self) -> int:
        return len(self._owners)

    @overload
    def __getitem__(self, index: int) -> BatchPlan: ...

    @overload
    def __getitem__(self, index: slice) -> list[BatchPlan]: ...

    def __getitem__(self, index: int | slice) -> BatchPlan | list[BatchPlan]:
        if isinstance(index, slice):
            return [self._plan(number) for number in range(*index.indices(len(self)))]
        return self._plan(index)

    def __iter__(self) -> Iterator[BatchPlan]:
        return map(self._plan, range(len(self)))

    def _plan(self, index: int) -> BatchPlan:
        owner = int(self._owners[index])
        shelf, start = self._shelves[owner], int(self._numbers[index]) * self._shelves[owner].batch_size
        chosen = self._orders[owner][start : start + shelf.batch_size]
        samples = zip(shelf.places[chosen].tolist(), shelf.repeats[chosen].tolist(), strict=True)
        return BatchPlan(self._epoch, shelf.dataset, shelf.bucket_wh, tuple(samples))


def shuffled(count: int, seed: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1, from raw bits, which NumPy promises to keep from version to version."""
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable") if count else np.zeros(0, np.int64)
