"""What contradicts itself in the plans of the data: sizes that cannot be, variations that a cache forbids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import Problems, UsageError
from .caching import CachingOptions
from .dataset_plan import CONTROLLED, MASKED, DatasetPlan, SubsetPlan
from .spec import Settings

LATENT_CELL = 8


def check_plans(settings: Settings, plans: Sequence[DatasetPlan], bucket_step: int, problems: Problems) -> None:
    """Add everything that is wrong with the data's settings to `problems`.

    Args:
        settings: of the run.
        plans: its datasets.
        bucket_step: pixels that bucket sides must be multiples of, from the model family.
        problems: the list.
    """
    for plan in plans:
        _check_sizes(plan, bucket_step, problems)
        for subset in plan.subsets:
            _check_latent_cache(settings[CachingOptions], subset, problems)
            _check_text_cache(settings[CachingOptions], subset, problems)
            _check_pairs(subset, problems)
            if plan.enable_bucket and subset.face_crop_aug_range:
                problems.warn(f"{subset.where}: face_crop_aug_range has no effect with buckets.")


def _check_sizes(plan: DatasetPlan, bucket_step: int, problems: Problems) -> None:
    """V29, V30, and sizes that the VAE cannot take."""
    (width, height), where = plan.resolution_wh, plan.subsets[0].where if plan.subsets else ""
    if not plan.enable_bucket:
        # Control pictures are encoded as coarsely as the model's deepest level sees, which has to come out even.
        cell = bucket_step if any(subset.kind == CONTROLLED for subset in plan.subsets) else LATENT_CELL
        if width % cell or height % cell:
            what = f"{width}x{height} cannot be trained without buckets: both sides must be multiples of {cell}."
            nearest_size = ",".join(str(max(cell, round(side / cell) * cell)) for side in (width, height))
            problems.add(UsageError(where="resolution", what=what, fix=f"Use {nearest_size}, or --enable_bucket."))
        return
    if plan.bucket_reso_steps % bucket_step:
        what = f"{plan.bucket_reso_steps} is not a multiple of {bucket_step}, which this model needs."
        problems.add(UsageError(where="bucket_reso_steps", what=what, fix=f"Use {bucket_step}.", why=where))
    if plan.bucket_no_upscale:
        return
    if plan.min_bucket_reso > min(width, height):
        what = f"{plan.min_bucket_reso} is larger than the shorter side of the resolution {width}x{height}."
        problems.add(UsageError(where="min_bucket_reso", what=what, fix=f"Use {min(width, height)} or less."))
    if plan.max_bucket_reso < max(width, height):
        what = f"{plan.max_bucket_reso} is smaller than the longer side of the resolution {width}x{height}."
        problems.add(UsageError(where="max_bucket_reso", what=what, fix=f"Use {max(width, height)} or more."))


def _check_latent_cache(caching: CachingOptions, subset: SubsetPlan, problems: Problems) -> None:
    """V10."""
    if not caching.cache_latents:
        return
    for name in ("color_aug", "random_crop"):
        if getattr(subset, name):
            what = f"--cache_latents cannot go together with {name}: cached latents do not change any more."
            problems.add(UsageError(where=subset.where, what=what, fix="Leave one of them out."))


def _check_text_cache(caching: CachingOptions, subset: SubsetPlan, problems: Problems) -> None:
    """V11."""
    varied = ", ".join(varied_by(subset))
    if caching.cache_text_encoder_outputs and varied:
        what = f"--cache_text_encoder_outputs needs captions that stay the same, and {varied} varies them."
        problems.add(UsageError(where=subset.where, what=what, fix="Leave one of them out."))


def varied_by(subset: SubsetPlan) -> Iterator[str]:
    """Names of the settings that make a caption differ from draw to draw."""
    names = (
        "shuffle_caption",
        "caption_dropout_rate",
        "caption_dropout_every_n_epochs",
        "caption_tag_dropout_rate",
        "token_warmup_step",
        "enable_wildcard",
    )
    return (name for name in names if getattr(subset, name))


def _check_pairs(subset: SubsetPlan, problems: Problems) -> None:
    """V35."""
    paired = {MASKED: "mask pictures", CONTROLLED: "control pictures"}.get(subset.kind)
    if paired and subset.random_crop:
        what = f"random_crop cannot go together with {paired}."
        problems.add(UsageError(where=subset.where, what=what, fix="Leave one of them out."))
