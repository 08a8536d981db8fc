"""The part of the metadata that tells what a network was trained on: counts, folders, tags, buckets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

from ..data.records import Scan, ScannedDataset
from ..options.dataset_plan import METADATA, SubsetPlan

Json = dict[str, Any]


def data_metadata(scan: Scan, *, folders: bool) -> dict[str, str]:
    """`ss_datasets` and its kin.

    Args:
        scan: the data.
        folders: named by `--train_data_dir` or `--in_json`: then there is one dataset, and its facts stand alone.
    """
    metadata = {
        "ss_tag_frequency": _text(_tags(scan.datasets)),
        "ss_dataset_dirs": _text(_folder_counts(_subsets(scan.datasets, regularization=False))),
    }
    buckets = _buckets(scan.datasets)
    if folders:
        regularization = _folder_counts(_subsets(scan.datasets, regularization=True))
        return {**metadata, "ss_reg_dataset_dirs": _text(regularization), "ss_bucket_info": _text(buckets)}
    metadata["ss_datasets"] = _text([_dataset(dataset) for dataset in scan.datasets])
    # sd-scripts leaves these two away here; without them the cards of the WebUIs show no resolutions.
    if buckets is not None:
        metadata["ss_bucket_info"] = _text(buckets)
    if scan.datasets:
        metadata["ss_resolution"] = str(scan.datasets[0].plan.resolution_wh)
    return metadata


def _text(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)


def _tags(datasets: Iterable[ScannedDataset]) -> dict[str, dict[str, int]]:
    """Folder to tag to number of pictures; of a folder in several datasets the first one counts."""
    merged: dict[str, dict[str, int]] = {}
    for dataset in datasets:
        for folder, counts in dataset.tag_frequency().items():
            merged.setdefault(folder, counts)
    return merged


def _subsets(datasets: Iterable[ScannedDataset], *, regularization: bool) -> Iterator[tuple[SubsetPlan, int]]:
    for dataset in datasets:
        for subset, images in zip(dataset.plan.subsets, dataset.subset_images, strict=True):
            if subset.is_reg == regularization:
                yield subset, images


def _folder_counts(subsets: Iterable[tuple[SubsetPlan, int]]) -> dict[str, dict[str, int]]:
    """Folder to repeats and pictures; the second folder of a name gets " (2)"."""
    counts: dict[str, dict[str, int]] = {}
    for subset, images in subsets:
        name = unique = _public_name(subset)
        number = 2
        while unique in counts:
            unique, number = f"{name} ({number})", number + 1
        counts[unique] = {"n_repeats": subset.num_repeats, "img_count": images}
    return counts


def _buckets(datasets: Iterable[ScannedDataset]) -> Json | None:
    """Buckets of all datasets as one list, or None when none has any."""
    counts: dict[tuple[int, int], int] = {}
    errors, pictures = 0.0, 0
    for dataset in datasets:
        info = dataset.bucket_info()
        if info is None:
            continue
        for bucket in info["buckets"].values():
            size = (bucket["resolution"][0], bucket["resolution"][1])
            counts[size] = counts.get(size, 0) + bucket["count"]
        errors += info["mean_img_ar_error"] * len(dataset.images)
        pictures += len(dataset.images)
    if not counts:
        return None
    buckets = {
        str(number): {"resolution": list(size), "count": count}
        for number, (size, count) in enumerate(sorted(counts.items()))
    }
    return {"buckets": buckets, "mean_img_ar_error": errors / pictures}


def _dataset(dataset: ScannedDataset) -> Json:
    plan = dataset.plan
    return {
        "is_dreambooth": all(subset.kind != METADATA for subset in plan.subsets),
        "batch_size_per_device": plan.batch_size,
        "num_train_images": dataset.num_train_images,
        "num_reg_images": dataset.num_reg_images,
        "resolution": list(plan.resolution_wh),
        "enable_bucket": plan.enable_bucket,
        "min_bucket_reso": plan.min_bucket_reso,
        "max_bucket_reso": plan.max_bucket_reso,
        "tag_frequency": dataset.tag_frequency(),
        "bucket_info": dataset.bucket_info(),
        "resize_interpolation": plan.resize_interpolation,
        "subsets": [
            _subset(subset, images) for subset, images in zip(plan.subsets, dataset.subset_images, strict=True)
        ],
    }


def _subset(subset: SubsetPlan, images: int) -> Json:
    content = {
        "img_count": images,
        "num_repeats": subset.num_repeats,
        "color_aug": subset.color_aug,
        "flip_aug": subset.flip_aug,
        "random_crop": subset.random_crop,
        "shuffle_caption": subset.shuffle_caption,
        "keep_tokens": subset.keep_tokens,
        "keep_tokens_separator": subset.keep_tokens_separator,
        "secondary_separator": subset.secondary_separator,
        "enable_wildcard": subset.enable_wildcard,
        "caption_prefix": subset.caption_prefix,
        "caption_suffix": subset.caption_suffix,
        "resize_interpolation": subset.resize_interpolation,
    }
    if subset.image_dir is not None:
        content["image_dir"] = PurePath(subset.image_dir).name
    if subset.conditioning_data_dir is not None:
        content["conditioning_data_dir"] = PurePath(subset.conditioning_data_dir).name
    if subset.kind == METADATA:
        return {**content, "metadata_file": _public_name(subset)}
    return {**content, "class_tokens": subset.class_tokens, "is_reg": subset.is_reg}


def _public_name(subset: SubsetPlan) -> str:
    """Last part of the folder's or metadata file's path; the rest is nobody's business."""
    return PurePath(subset.metadata_file or subset.image_dir or "").name
