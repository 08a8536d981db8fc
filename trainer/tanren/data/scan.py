"""From folders to records: finds pictures and captions, reads headers only, assigns buckets.

Linear in the number of pictures, about 30 microseconds and half a kilobyte for each. Every problem is collected, so
that one run tells them all.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import DataError, Problems, UsageError
from ..events import Report
from ..options.dataset import DatasetOptions
from ..options.dataset_plan import MASKED, DatasetPlan, SubsetPlan
from .buckets import Buckets, Fit, FreeBuckets, OneSize, Size, bucket_list
from .listing import some
from .records import CaptionCount, ImageRecord, Scan, ScannedDataset
from .subset_scan import ScanContext, scan_subset

MOST_SKIPPED = 0.05


def scan(
    plans: Sequence[DatasetPlan],
    options: DatasetOptions,
    report: Report | None,
    problems: Problems,
    *,
    seed: int | None = None,
    roots: Sequence[Path] | None = None,
) -> Scan:
    """Find everything that will be trained.

    Args:
        plans: what was asked for.
        options: limits and policies for pictures; captions and sizes come from the plans.
        report: told about progress, or None.
        problems: receives every problem and warning.
        seed: of the run; decides the validation split when no validation_seed is given.
        roots: only files below these are read, links followed; None: any file.
    """
    context = ScanContext(options, report or Report(), problems, seed or 0, roots)
    notes: list[str] = []
    known = len(problems.errors)
    datasets = tuple(_scan_dataset(plan, index, context, notes) for index, plan in enumerate(plans))
    is_empty = not any(dataset.images or dataset.validation for dataset in datasets)
    if plans and is_empty and len(problems.errors) == known:
        problems.add(_nothing_found(plans))
    if options.masked_loss and not any(_has_masks(dataset) for dataset in datasets):
        problems.warn("--masked_loss has no effect: there is neither conditioning_data_dir nor alpha_mask anywhere.")
    return Scan(datasets, notes)


def _scan_dataset(plan: DatasetPlan, number: int, context: ScanContext, notes: list[str]) -> ScannedDataset:
    dataset = ScannedDataset(plan, [], [], [], CaptionCount())
    bad: list[DataError] = []
    regularization: list[ImageRecord] = []
    rng = random.Random(context.seed if plan.validation_seed is None else plan.validation_seed)
    for index, subset in enumerate(plan.subsets):
        fit = fitter(plan, subset, context.problems)
        if fit is None:
            dataset.subset_images.append(0)
            continue
        found = scan_subset(plan, index, fit, context)
        bad += found.bad
        notes += found.notes
        dataset.subset_images.append(len(found.records))
        dataset.captions.by_extension += found.captions.by_extension
        dataset.captions.missing += found.captions.missing
        dataset.captions.unread += found.captions.unread
        dataset.captions.notes += found.captions.notes
        dataset.pairs += [found.pairs] if found.pairs else []
        if subset.is_reg:
            regularization += found.records
        else:
            training, held_out = split_validation(found.records, plan.validation_split, rng)
            dataset.images += training
            dataset.validation += held_out
    _judge_bad(bad, sum(dataset.subset_images) + len(bad), context)
    dataset.images += _filled_up(regularization, dataset.num_train_images, number, context.problems)
    return dataset


def split_validation(
    records: list[ImageRecord], fraction: float, rng: random.Random
) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Training and validation pictures; the latter count once each.

    Training gets the first ceil(n (1 - fraction)) of a shuffled list. No picture is in both, where upstream's rounding
    can put one into both.
    """
    if not 0 < fraction <= 1 or not records:
        return records, []
    order = list(range(len(records)))
    rng.shuffle(order)
    # A hair is taken off because 10 * (1 - 0.7) is 3.0000000000000004.
    kept = math.ceil(len(records) * (1 - fraction) - 1e-9)
    held_out = min(round(len(records) * fraction), len(records) - kept)
    validation = [records[place] for place in sorted(order[len(records) - held_out :])]
    for record in validation:
        record.repeats = 1
    return [records[place] for place in sorted(order[:kept])], validation


def fill_up(records: Sequence[ImageRecord], target: int) -> list[ImageRecord]:
    """Regularization pictures with their repeats, so many that they are about `target` together.

    The first pass takes each picture with its own repeats until there are enough; when all are taken and more are
    needed, further passes add one repeat a picture.
    """
    used: list[ImageRecord] = []
    total = 0
    for record in records:
        if total >= target:
            break
        used.append(record)
        total += record.repeats
    while used and total < target:
        for record in used:
            if total >= target:
                break
            record.repeats += 1
            total += 1
    return used


def _filled_up(records: list[ImageRecord], target: int, number: int, problems: Problems) -> list[ImageRecord]:
    used = fill_up(records, target)
    if len(used) < len(records):
        problems.warn(
            f"datasets[{number}]: {len(records) - len(used)} of {len(records)} regularization pictures are not used: "
            f"there are only {target} training pictures, repeats counted."
        )
    return used


def fitter(plan: DatasetPlan, subset: SubsetPlan, problems: Problems) -> Callable[[Size], Fit] | None:
    """How pictures of a subset are fitted to sizes; None, and a problem, when the limits of the buckets are wrong."""
    if not plan.enable_bucket:
        crops_freely = subset.random_crop or subset.face_crop_aug_range is not None
        return OneSize(plan.resolution_wh, crops_freely=crops_freely).fit
    if plan.bucket_no_upscale:
        return FreeBuckets(plan.resolution_wh, plan.bucket_reso_steps).fit
    try:
        sizes = bucket_list(plan.resolution_wh, plan.min_bucket_reso, plan.max_bucket_reso, plan.bucket_reso_steps)
    except ValueError as error:
        problems.add(
            UsageError(
                where="--min_bucket_reso, --max_bucket_reso",
                what=str(error),
                fix="The limits must enclose both sides of the resolution.",
            )
        )
        return None
    return Buckets(sizes).fit


def _judge_bad(bad: list[DataError], found: int, context: ScanContext) -> None:
    if not bad:
        return
    options, problems = context.options, context.problems
    too_many = len(bad) > MOST_SKIPPED * found
    if options.on_bad_image == "skip" and not too_many:
        what = "1 picture is" if len(bad) == 1 else f"{len(bad)} pictures are"
        problems.warn(f"{what} left out (--on_bad_image=skip): {some([one.where for one in bad])}.")
        return
    if options.on_bad_image == "skip":
        problems.add(
            DataError(
                where="--on_bad_image=skip",
                what=f"{len(bad)} of {found} pictures cannot be used, more than {MOST_SKIPPED:.0%}.",
                why=f"The first ones: {some([one.where for one in bad])}.",
                fix="Look into them: so many are rarely an accident.",
            )
        )
    for problem in bad:
        problems.add(problem)


def _has_masks(dataset: ScannedDataset) -> bool:
    has_kind = any(subset.kind == MASKED or subset.alpha_mask for subset in dataset.plan.subsets)
    return has_kind or any(image.mask_path for image in dataset.images)


def _nothing_found(plans: Sequence[DatasetPlan]) -> DataError:
    places = [subset.image_dir or subset.metadata_file or "?" for plan in plans for subset in plan.subsets]
    return DataError(
        where=some(places) if places else "the dataset",
        what="No pictures were found.",
        fix="--train_data_dir is the parent of the <repeats>_<name> folders; image_dir holds the pictures themselves.",
    )
