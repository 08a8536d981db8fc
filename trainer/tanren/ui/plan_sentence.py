"""How long a run is, as one line of arithmetic that is true for every kind of run."""

from __future__ import annotations

from collections import Counter

from ..data.counting import Counts
from ..data.records import Scan
from ..options.leco import LecoOptions
from ..options.training import TrainingOptions
from .words import Text, counted, text

# More kinds of repeats than this are not listed one by one.
MOST_TERMS = 4


def plan_sentence(scan: Scan, counts: Counts, training: TrainingOptions) -> Text:
    """Pictures, repeats, epochs and batches to steps: "11 pictures × 10 repeats × 5 epochs ÷ batch 2 = 275 steps".

    Where batches or steps of an epoch do not come out even, the line has ≈ and says why: every size of picture, and
    every epoch, ends with a smaller batch.
    """
    epochs = counted(training.max_train_epochs or 0, "{count} epoch", "{count} epochs")
    steps = counted(counts.max_train_steps, "{count} step", "{count} steps")
    if training.max_train_epochs and _comes_out_even(scan, counts, training):
        product = text("{data} × {epochs} ÷ {batch}", data=_data(scan), epochs=epochs, batch=_batch(scan))
        return text("{left} = {steps}", left=_divided(product, training), steps=steps)
    epoch = _epoch(scan, counts, training)
    if training.max_train_epochs:
        return text("{epoch} × {epochs} = {steps}", epoch=epoch, epochs=epochs, steps=steps)
    return text("{epoch} per epoch; {length}", epoch=epoch, length=_length(counts, steps))


def concept_sentence(scan: Scan, counts: Counts, leco: LecoOptions) -> Text:
    """How long a training without pictures is: "500 steps at 512×512, batch 1, each with about 22 U-Net calls"."""
    sizes = sorted({tuple(reversed(pair["resolution_hw"])) for pair in scan.pair_facts})
    batches = sorted({pair["batch_size"] for pair in scan.pair_facts})
    # A picture is begun in 1 to D-1 steps; then come the prediction to learn from, and the one that learns.
    calls = leco.max_denoising_steps // 2 + 2
    return text(
        "{steps} at {sizes}, {batch}, each with about {calls} calls of the U-Net",
        steps=counted(counts.max_train_steps, "{count} step", "{count} steps"),
        sizes=" / ".join(f"{width}×{height}" for width, height in sizes[:MOST_TERMS]),
        batch=text("batch {size}", size="/".join(map(str, batches))),
        calls=calls,
    )


def _data(scan: Scan) -> Text:
    """What is drawn in an epoch."""
    repeats = Counter(image.repeats for dataset in scan.datasets for image in dataset.images if not image.is_reg)
    terms = [_pictures(count, times) for times, count in sorted(repeats.items(), reverse=True)]
    if len(terms) > MOST_TERMS:
        terms = [text("{count} pictures (repeats counted)", count=scan.num_train_images)]
    if scan.num_reg_images:
        terms.append(counted(scan.num_reg_images, "{count} regularization picture", "{count} regularization pictures"))
    if not terms:
        return text("no pictures")
    total = terms[0]
    for term in terms[1:]:
        total = text("{left} + {right}", left=total, right=term)
    return text("({sum})", sum=total) if len(terms) > 1 else total


def _pictures(count: int, repeats: int) -> Text:
    pictures = counted(count, "{count} picture", "{count} pictures")
    return text(
        "{pictures} × {repeats}", pictures=pictures, repeats=counted(repeats, "{count} repeat", "{count} repeats")
    )


def _batch(scan: Scan) -> Text:
    sizes = sorted({dataset.plan.batch_size for dataset in scan.datasets})
    return text("batch {size}", size="/".join(map(str, sizes)))


def _divided(product: Text, training: TrainingOptions) -> Text:
    accumulated = training.gradient_accumulation_steps
    if accumulated == 1:
        return product
    return text("{left} ÷ {count} accumulated", left=product, count=accumulated)


def _epoch(scan: Scan, counts: Counts, training: TrainingOptions) -> Text:
    """From pictures to the steps of one epoch."""
    data = text("{data} ÷ {batch}", data=_data(scan), batch=_batch(scan))
    accumulated = training.gradient_accumulation_steps
    batches = counts.batches_per_epoch
    if accumulated == 1:
        result = counted(batches, "{count} step", "{count} steps")
        return _equal(data, result, _sizes(scan) if _has_rest(scan) else 0)
    result = counted(batches, "{count} batch", "{count} batches")
    left = _divided(_equal(data, result, _sizes(scan) if _has_rest(scan) else 0), training)
    steps = counted(counts.steps_per_epoch, "{count} step", "{count} steps")
    return _equal(left, steps, int(batches % accumulated > 0))


def _equal(left: Text, right: Text, rounded: int) -> Text:
    """`left = right`, or ≈ where `rounded` sizes were rounded up."""
    if not rounded:
        return text("{left} = {right}", left=left, right=right)
    if rounded == 1:
        return text("{left} ≈ {right} (rounded up)", left=left, right=right)
    return text("{left} ≈ {right} (rounded up for each of {sizes} sizes)", left=left, right=right, sizes=rounded)


def _length(counts: Counts, steps: Text) -> Text:
    """How many epochs a number of steps is."""
    epochs, rest = divmod(counts.max_train_steps, counts.steps_per_epoch)
    if not epochs:
        return text("{steps} are less than one epoch", steps=steps)
    whole = counted(epochs, "{count} epoch", "{count} epochs")
    if not rest:
        return text("{steps} = {epochs}", steps=steps, epochs=whole)
    more = counted(rest, "{count} step", "{count} steps")
    return text("{steps} = {epochs} + {rest}", steps=steps, epochs=whole, rest=more)


def _comes_out_even(scan: Scan, counts: Counts, training: TrainingOptions) -> bool:
    has_one_size = len({dataset.plan.batch_size for dataset in scan.datasets}) == 1
    accumulates_evenly = counts.batches_per_epoch % training.gradient_accumulation_steps == 0
    return has_one_size and accumulates_evenly and not _has_rest(scan)


def _has_rest(scan: Scan) -> bool:
    """True when some size of picture ends an epoch with a smaller batch."""
    return any(
        count % dataset.plan.batch_size for dataset in scan.datasets for count in dataset.bucket_counts().values()
    )


def _sizes(scan: Scan) -> int:
    return sum(len(dataset.buckets) for dataset in scan.datasets)
