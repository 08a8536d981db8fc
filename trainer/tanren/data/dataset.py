"""The pictures of a run as batches: in which order, from files or from caches, by how many workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

from ..errors import DataError
from ..events import Report
from ..formats.picture_header import PictureLimits
from ..options.caching import CachingOptions
from ..options.dataset import DatasetOptions
from ..options.spec import Settings
from ..options.training import TrainingOptions
from .batch import Batch, LatentGeometry, SampleKey, TextStates
from .cache_pass import Crew
from .counting import count_steps
from .feeding import Fed, Item, Workers, in_thread, in_turn, start_method
from .latent_cache import LatentCache
from .latent_filling import EncodeRules, fill_latents
from .listing import some
from .order import BatchPlan, EpochOrder, training_shelves, validation_batches
from .records import Scan
from .samples import BadPicture, SampleRules, Samples
from .scan import MOST_SKIPPED
from .text_cache import TextCache

Prepared = TypeVar("Prepared")
ALONE = Crew()


@dataclass(frozen=True)
class EpochItems(Sequence[Item]):
    """What one process prepares in the rest of an epoch; items are made when they are asked for."""

    order: EpochOrder
    epoch: int
    start: int
    process_index: int
    num_processes: int
    accumulation: int
    prepare: Callable[[Batch, int], Any]

    def __len__(self) -> int:
        return max(0, self._batches - self.start)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self._item(place) for place in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._item(index)

    @property
    def _batches(self) -> int:
        return -(-len(self.order) // self.num_processes)

    def _item(self, index: int) -> Item:
        number = self.start + index
        steps_per_epoch = -(-self._batches // self.accumulation)
        step = self.epoch * steps_per_epoch + number // self.accumulation
        # A process that would get one batch less than the others starts again at the front.
        plan = self.order[(self.process_index + number * self.num_processes) % len(self.order)]
        return Item(plan, number, step, self.prepare)


class BucketDataset:
    """Batches of pictures that share a bucket.

    Args:
        scan: what was found.
        settings: data, caching and training options.
        latents: geometry of the family's latents.
        seed: of the run.
        report: told about bad pictures and progress.
        max_train_steps: of the run, for a tag warm-up given as a fraction; counted for one process when not given.
    """

    def __init__(
        self,
        scan: Scan,
        settings: Settings,
        latents: LatentGeometry,
        seed: int,
        report: Report,
        *,
        max_train_steps: int | None = None,
    ) -> None:
        self.scan, self.settings, self.geometry, self.seed, self.report = scan, settings, latents, seed, report
        data, training = settings[DatasetOptions], settings[TrainingOptions]
        self._shelves = training_shelves(scan)
        self._order: tuple[int, EpochOrder] | None = None
        self._workers: Workers | None = None
        self._bad: set[str] = set()
        self.samples = Samples(
            scan,
            latents,
            [PictureLimits(data.max_pixels, data.min_side or one.plan.bucket_reso_steps) for one in scan.datasets],
            SampleRules(
                seed=seed,
                max_train_steps=max_train_steps or self._max_train_steps(training),
                prior_loss_weight=data.prior_loss_weight,
                skip_bad=data.on_bad_image == "skip",
            ),
        )

    def batches_per_epoch(self) -> int:
        """Batches of an epoch over all processes."""
        return sum(shelf.batches for shelf in self._shelves)

    def epoch_batches(self, epoch: int) -> EpochOrder:
        """The batches of one epoch over all processes, a function of seed and epoch alone; epochs count from 0."""
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, EpochOrder(self._shelves, self.seed, epoch))
        return self._order[1]

    def validation_batches(self) -> list[BatchPlan]:
        """The held-out pictures, always in the same batches."""
        return validation_batches(self.scan)

    def load(self, plan: BatchPlan, step: int) -> Batch:
        """Read one batch here and now; `step` is the number of optimizer steps before it."""
        batch, bad = self.samples.load(plan, step)
        self._judge(bad)
        return batch

    def loader(
        self,
        epoch: int,
        start_batch: int = 0,
        process_index: int = 0,
        num_processes: int = 1,
        *,
        prepare: Callable[[Batch, int], Prepared],
    ) -> Iterator[Prepared]:
        """Prepared batches of this process in the rest of an epoch.

        Process i sees batches i, i + n, … ; processes that would get one less start again at the front. The result does
        not depend on the number of workers.

        Args:
            epoch: from 0.
            start_batch: batches of this process that are done.
            prepare: makes what the training step wants, given the batch and its number in this process's epoch. It runs
                in the workers, so it must be picklable and must not touch the device.

        Raises:
            DataError: a picture cannot be read, or a batch did not come in time.
            OutOfMemory: a worker was killed.
        """
        accumulation = self.settings[TrainingOptions].gradient_accumulation_steps
        order = self.epoch_batches(epoch)
        items = EpochItems(order, epoch, start_batch, process_index, num_processes, accumulation, prepare)
        pin = torch.cuda.is_available()
        try:
            for fed in self._feed(items):
                self._judge(fed.bad)
                if fed.problem is not None:
                    kind, told = fed.problem
                    raise kind(**told)
                yield fed.result.pin_memory() if pin and hasattr(fed.result, "pin_memory") else fed.result
        finally:
            if not self.settings[TrainingOptions].persistent_data_loader_workers:
                self.close()

    def close(self) -> None:
        """End the worker processes."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def cache_latents(
        self,
        encode: Callable[[Tensor, Tensor], Tensor],
        fingerprint: str,
        folder: Path | None,
        crew: Crew = ALONE,
    ) -> None:
        """Encode every picture once; later batches carry latents instead of pixels.

        Args:
            encode: (B, 3, H, W) pixels in -1..1 and (B, C, h, w) noise to (B, C, h, w) scaled latents.
            fingerprint: names the VAE and its number type.
            folder: the cache folder that later runs share; None keeps latents in memory.
            crew: the processes that share the work.

        Raises:
            DataError: pictures that cannot be read, or whose latents are not finite.
            StorageError: the cache cannot be written.
        """
        data, caching = self.settings[DatasetOptions], self.settings[CachingOptions]
        self.close()
        cache = LatentCache(self.samples.lists(), self.geometry, folder, fingerprint)
        limits = min(self.samples.limits, key=lambda one: one.min_side)
        rules = EncodeRules(
            encode,
            caching.vae_batch_size,
            limits,
            skip_bad=data.on_bad_image == "skip",
            trusting=caching.skip_cache_check,
        )
        bad = fill_latents(cache, rules, self.report, crew)
        self.samples.latents = cache
        self._judge([BadPicture(error.where, error.why or error.what) for error in bad])
        self._check_all_cached(cache)

    def cache_text(
        self,
        encode: Callable[[list[str]], TextStates],
        fingerprint: str,
        folder: Path | None,
        crew: Crew = ALONE,
    ) -> None:
        """Encode every caption once; captions must not vary from draw to draw.

        Args:
            encode: captions to text states, without gradient.
            fingerprint: names the text encoders, their number type, and what changes their output: clip skip, length,
                weights in captions.
            folder: the cache folder that later runs share; None keeps states in memory.
            crew: the processes that share the work.
        """
        self.close()
        cache = TextCache(folder, fingerprint, trusting=self.settings[CachingOptions].skip_cache_check)
        batch_size = max((dataset.plan.batch_size for dataset in self.scan.datasets), default=1)
        cache.fill(self._captions(), encode, batch_size, self.report, crew)
        self.samples.text = cache

    def _max_train_steps(self, training: TrainingOptions) -> int:
        return count_steps(
            self.batches_per_epoch() or 1,
            max_train_steps=training.max_train_steps,
            max_train_epochs=training.max_train_epochs,
            accumulation=training.gradient_accumulation_steps,
        ).max_train_steps

    def _feed(self, items: EpochItems) -> Iterator[Fed]:
        wanted = min(self.settings[TrainingOptions].max_data_loader_n_workers, os.cpu_count() or 1, len(items))
        if wanted == 0:
            return in_turn(self.samples, items)
        in_memory = any(cache and cache.folder is None for cache in (self.samples.latents, self.samples.text))
        # Cached batches take less time to read than to send between processes, unless there are pictures to decode.
        is_read = self.samples.latents is not None and not self.scan.has_controls
        if is_read or (in_memory and start_method() == "spawn"):
            return in_thread(self.samples, items)
        if self._workers is None:
            self._workers = Workers(self.samples, wanted)
        return self._workers.feed(items)

    def _captions(self) -> Iterator[str]:
        for index, dataset in enumerate(self.scan.datasets):
            for images, held_out in ((dataset.images, False), (dataset.validation, True)):
                for place, record in enumerate(images):
                    plan = BatchPlan(0, index, record.bucket_wh, (), held_out)
                    yield self.samples.caption(plan, record, SampleKey(0, index, place, 0), 0)

    def _judge(self, bad: list[BadPicture]) -> None:
        """Tell each bad picture once; too many of them end the run."""
        fresh = [one for one in bad if one.path not in self._bad]
        for one in fresh:
            self._bad.add(one.path)
            self.report.warning(f"{one.path}: left out, another picture stands in. {one.why}")
        total = sum(len(dataset.images) + len(dataset.validation) for dataset in self.scan.datasets)
        if fresh and len(self._bad) > MOST_SKIPPED * total:
            raise DataError(
                where="--on_bad_image=skip",
                what=f"{len(self._bad)} of {total} pictures cannot be used, more than {MOST_SKIPPED:.0%}.",
                why=f"The first ones: {some(sorted(self._bad))}.",
                fix="Look into them: so many are rarely an accident.",
            )

    def _check_all_cached(self, cache: LatentCache) -> None:
        """Pictures may lack latents only when they were left out; another process may have found them bad."""
        lost = [
            record.path
            for number, part in enumerate(cache.lists)
            for place, record in enumerate(part.images)
            if not cache.has(number, place)
        ]
        if lost and not self.samples.rules.skip_bad:
            raise DataError(
                where=some(lost),
                what=f"{len(lost)} pictures have no latents.",
                why="Another process could not read them, or they changed while they were encoded.",
                fix="Start again; if it stays, look into these pictures.",
            )
        self._judge([BadPicture(path, "It has no latents.") for path in lost])
