"""From a batch plan to a batch: reads pictures or the cache, processes captions, stacks.

Everything here can be sent to worker processes and depends on nothing but its arguments, so the number of workers
cannot change a result.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import DataError
from ..formats.picture_header import PictureLimits, unreadable
from ..options.dataset_plan import SubsetPlan
from .batch import Batch, LatentGeometry, SampleKey
from .captions import process_caption
from .draws import draw
from .latent_cache import LatentCache, PictureList, posterior_noise, to_float
from .order import BatchPlan
from .preparation import Variation, prepare_control, prepare_picture, recorded_crop, variation_of
from .records import ImageRecord, Scan
from .text_cache import TextCache

PAUSE_BEFORE_RETRY = 0.2


class BadPicture(NamedTuple):
    """A picture that could not be read while training, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class SampleRules:
    """What decides about samples beside their own plans.

    Args:
        seed: of the run.
        max_train_steps: for a tag warm-up given as a fraction.
        prior_loss_weight: of regularization pictures.
        skip_bad: another picture of the bucket stands in for one that cannot be read.
    """

    seed: int
    max_train_steps: int
    prior_loss_weight: float
    skip_bad: bool


class _Sample(NamedTuple):
    key: SampleKey
    record: ImageRecord
    caption: str
    flipped: bool
    latents: Tensor | None
    pixels: Tensor | None
    noise: Tensor | None
    mask: Tensor | None
    control: Tensor | None


@dataclass
class Samples:
    """Loads batches.

    Args:
        scan: the pictures.
        geometry: of the latents.
        limits: sizes of pictures that are refused, by dataset.
        rules: seed and policies.
        latents, text: caches, when they were filled.
    """

    scan: Scan
    geometry: LatentGeometry
    limits: list[PictureLimits]
    rules: SampleRules
    latents: LatentCache | None = None
    text: TextCache | None = None
    _bad: dict[str, str] = field(default_factory=dict)

    def lists(self) -> list[PictureList]:
        """Training and validation pictures of each dataset in turn; a cache is addressed by their numbers."""
        return [
            PictureList(dataset.plan, images)
            for dataset in self.scan.datasets
            for images in (dataset.images, dataset.validation)
        ]

    def load(self, plan: BatchPlan, step: int) -> tuple[Batch, list[BadPicture]]:
        """Read one batch.

        Args:
            plan: its pictures.
            step: optimizer steps done so far, for the tag warm-up.

        Raises:
            DataError: a picture cannot be read, and none may stand in for it.
        """
        bad: list[BadPicture] = []
        samples = [self._sample(plan, place, repeat, step, bad) for place, repeat in plan.samples]
        return self._stacked(plan, samples), bad

    def caption(self, plan: BatchPlan, record: ImageRecord, key: SampleKey, step: int) -> str:
        """The processed caption of one draw; held-out pictures keep theirs whole."""
        subset = self.scan.datasets[plan.dataset].plan.subsets[record.subset]
        if plan.is_validation:
            subset = _without_dropout(subset)
        purpose = "validation" if plan.is_validation else "caption"
        return process_caption(
            record.caption,
            subset,
            draw(self.rules.seed, purpose, *key),
            epoch=plan.epoch + 1,
            step=step,
            max_train_steps=self.rules.max_train_steps,
        )

    def images(self, plan: BatchPlan) -> list[ImageRecord]:
        """The list that the places of a plan refer to."""
        dataset = self.scan.datasets[plan.dataset]
        return dataset.validation if plan.is_validation else dataset.images

    def _sample(self, plan: BatchPlan, place: int, repeat: int, step: int, bad: list[BadPicture]) -> _Sample:
        key = SampleKey(plan.epoch, plan.dataset, place, repeat)
        for candidate in self._candidates(plan, place):
            try:
                return self._read(plan, candidate, key, step)
            except DataError as error:
                if not self.rules.skip_bad:
                    raise
                path = self.images(plan)[candidate].path
                self._bad[path] = error.why or error.what
                bad.append(BadPicture(path, self._bad[path]))
        raise DataError(
            where=self.images(plan)[place].path,
            what=f"No picture of the bucket {plan.bucket_wh[0]}x{plan.bucket_wh[1]} can be read.",
            fix="Repair the pictures, or remove them.",
        )

    def _candidates(self, plan: BatchPlan, place: int) -> Iterator[int]:
        """The picture itself, and behind it those of its bucket that may stand in, nearest first."""
        if not self.rules.skip_bad:
            yield place
            return
        images = self.images(plan)
        for ahead in range(len(images)):
            other = (place + ahead) % len(images)
            # Trying a bad picture again would only cost time: the one behind it stands in, in every process.
            if images[other].bucket_wh == plan.bucket_wh and images[other].path not in self._bad:
                yield other

    def _read(self, plan: BatchPlan, place: int, key: SampleKey, step: int) -> _Sample:
        record = self.images(plan)[place]
        subset = self.scan.datasets[plan.dataset].plan.subsets[record.subset]
        variation = Variation(flipped=False, rng=None)
        if not plan.is_validation:
            variation = variation_of(subset, draw(self.rules.seed, "augment", *key))
        caption = self.caption(plan, record, key, step)
        if self.latents is not None:
            return self._from_cache(plan, place, key, caption, variation.flipped)
        return self._from_file(plan, record, key, caption, variation)

    def _from_cache(self, plan: BatchPlan, place: int, key: SampleKey, caption: str, flipped: bool) -> _Sample:
        assert self.latents is not None
        record = self.images(plan)[place]
        part = 2 * plan.dataset + plan.is_validation
        if not self.latents.has(part, place):
            raise DataError(where=record.path, what="The picture was left out of the latent cache.")
        latents = self.latents.latents(part, place, flipped=flipped)
        mask = self.latents.mask(part, place, flipped=flipped)
        control = self._control(plan, record, flipped=flipped)
        return _Sample(key, record, caption, flipped, latents, None, None, mask, control)

    def _control(self, plan: BatchPlan, record: ImageRecord, *, flipped: bool) -> Tensor | None:
        if record.control_path is None:
            return None
        dataset, limits = self.scan.datasets[plan.dataset].plan, self.limits[plan.dataset]
        try:
            pixels = prepare_control(record, dataset, limits, flipped=flipped)
        except OSError as error:
            raise unreadable(record.control_path, f"The system says: {error.strerror or error}.") from error
        return None if pixels is None else to_float(pixels)

    def _from_file(
        self, plan: BatchPlan, record: ImageRecord, key: SampleKey, caption: str, variation: Variation
    ) -> _Sample:
        dataset = self.scan.datasets[plan.dataset].plan
        limits, downscale = self.limits[plan.dataset], self.geometry.downscale
        try:
            picture = prepare_picture(record, dataset, variation, limits, downscale)
        except (DataError, OSError):
            # The file may just be written anew by somebody.
            time.sleep(PAUSE_BEFORE_RETRY)
            if not plan.is_validation:
                subset = dataset.subsets[record.subset]
                variation = variation_of(subset, draw(self.rules.seed, "augment", *key))
            try:
                picture = prepare_picture(record, dataset, variation, limits, downscale)
            except OSError as error:
                raise unreadable(record.path, f"The system says: {error.strerror or error}.") from error
        noise = posterior_noise(picture.digest, record.bucket_wh, self.geometry, flipped=variation.flipped)
        mask = None if picture.mask is None else torch.from_numpy(picture.mask)
        control = None if picture.control is None else to_float(picture.control)
        return _Sample(key, record, caption, variation.flipped, None, to_float(picture.pixels), noise, mask, control)

    def _stacked(self, plan: BatchPlan, samples: list[_Sample]) -> Batch:
        dataset = self.scan.datasets[plan.dataset].plan
        records = [sample.record for sample in samples]
        is_cached = self.latents is not None
        crops = [recorded_crop(one.record, dataset, flipped=one.flipped, is_cached=is_cached) for one in samples]
        captions = [sample.caption for sample in samples]
        width, height = plan.bucket_wh
        weights = [self.rules.prior_loss_weight if record.is_reg else 1.0 for record in records]
        return Batch(
            keys=[sample.key for sample in samples],
            paths=[record.path for record in records],
            captions=captions,
            bucket_wh=plan.bucket_wh,
            latents=_stack([sample.latents for sample in samples]),
            pixels=_stack([sample.pixels for sample in samples]),
            posterior_noise=_stack([sample.noise for sample in samples]),
            text=None if self.text is None else self.text.states(captions),
            mask=self._masks(plan, samples),
            loss_weights=torch.tensor(weights, dtype=torch.float32),
            preserve_output=torch.tensor([dataset.subsets[record.subset].preserves_output for record in records]),
            original_hw=torch.tensor([record.size_wh[::-1] for record in records]),
            crop_top_left=torch.tensor(crops),
            target_hw=torch.tensor([(height, width)] * len(records)),
            control=_stack([sample.control for sample in samples]),
        )

    def _masks(self, plan: BatchPlan, samples: list[_Sample]) -> Tensor | None:
        if all(sample.mask is None for sample in samples):
            return None
        width, height = (side // self.geometry.downscale for side in plan.bucket_wh)
        full = torch.ones(height, width)
        return torch.stack([full if sample.mask is None else sample.mask for sample in samples]).unsqueeze(1)


def _stack(tensors: list[Tensor | None]) -> Tensor | None:
    there = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(there) if there else None


def _without_dropout(subset: SubsetPlan) -> SubsetPlan:
    return dataclasses.replace(
        subset,
        caption_dropout_rate=0.0,
        caption_dropout_every_n_epochs=0,
        caption_tag_dropout_rate=0.0,
        token_warmup_step=0.0,
    )
