"""What a scan found: pictures with their captions and buckets, without a pixel held in memory."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from pathlib import PurePath
from typing import Any

from ..options.dataset_plan import DatasetPlan
from .buckets import Size

FROM_FILE, FROM_METADATA, FROM_FOLDER, NO_CAPTION = "file", "metadata", "class tokens", "none"


@dataclass(slots=True)
class ImageRecord:
    """One picture, in about half a kilobyte.

    Args:
        folder, name: where it is; the folder's text is shared among its pictures.
        size_wh: pixels, upright.
        caption: as stored, or the folder's text.
        caption_source: FROM_FILE, FROM_METADATA, FROM_FOLDER or NO_CAPTION.
        repeats: times it counts per epoch.
        subset: index in the dataset's plan.
        is_reg: a regularization picture.
        bucket_wh, resized_wh: it is resized to the second, then cropped to the first.
        mask_path: its mask picture.
        control_path: its control picture.
        tags: the tags of a metadata file, which statistics count apart from the caption.
    """

    folder: str
    name: str
    size_wh: Size
    caption: str
    caption_source: str
    repeats: int
    subset: int
    is_reg: bool
    bucket_wh: Size
    resized_wh: Size
    mask_path: str | None = None
    tags: str | None = None
    control_path: str | None = None

    @property
    def path(self) -> str:
        """The picture file."""
        # Text, because a million Path objects would cost a gigabyte.
        return f"{self.folder}{os.sep}{self.name}"


@dataclass
class CaptionCount:
    """How the pictures of one dataset got their captions.

    Args:
        by_extension: caption files found beside the pictures, by suffix, whether they are used or not.
        missing: pictures without the caption file that was asked for.
        unread: those of them that have a caption file with another suffix.
        notes: what the user may want to know of folders without any caption.
    """

    by_extension: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PairFacts:
    """How the pictures of a subset and their masks or control pictures fit together.

    Args:
        pictures, others: the two folders.
        complete: pictures that have theirs.
        missing: pictures that have none.
        unused: files of the other folder that belong to no picture.
        misfits: files of the other folder that have another size or shape than their picture, with both sizes.
    """

    pictures: str
    others: str
    complete: int
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    misfits: tuple[str, ...] = ()


@dataclass
class ScannedDataset:
    """The pictures of one `[[datasets]]` section.

    Args:
        plan: what was asked for.
        images: training and regularization pictures, in order of subset and path.
        validation: pictures held out; each counts once.
        subset_images: training or regularization pictures found in each subset, without repeats.
        captions: how captions were found.
        pairs: of each subset whose pictures have masks or control pictures in another folder.
    """

    plan: DatasetPlan
    images: list[ImageRecord]
    validation: list[ImageRecord]
    subset_images: list[int]
    captions: CaptionCount
    pairs: list[PairFacts] = field(default_factory=list)

    @property
    def num_train_images(self) -> int:
        """Training pictures, repeats counted, without regularization and validation."""
        return sum(image.repeats for image in self.images if not image.is_reg)

    @property
    def num_reg_images(self) -> int:
        """Regularization pictures, repeats counted."""
        return sum(image.repeats for image in self.images if image.is_reg)

    @property
    def num_validation_images(self) -> int:
        """Pictures held out."""
        return len(self.validation)

    @property
    def buckets(self) -> list[Size]:
        """The bucket sizes in use, ascending."""
        return list(self.bucket_counts())

    def bucket_counts(self) -> dict[Size, int]:
        """Bucket size to pictures in it, repeats counted, in ascending order."""
        counts: Counter[Size] = Counter()
        for image in self.images:
            counts[image.bucket_wh] += image.repeats
        return dict(sorted(counts.items()))

    def batches_per_epoch(self) -> int:
        """Batches over all processes; every bucket keeps its last, smaller one."""
        return sum(ceil(count / self.plan.batch_size) for count in self.bucket_counts().values())

    def bucket_info(self) -> dict[str, Any] | None:
        """What metadata say of the buckets; None without bucketing."""
        if not self.plan.enable_bucket:
            return None
        counts = self.bucket_counts().items()
        errors = [abs(_ratio(image.bucket_wh) - _ratio(image.size_wh)) for image in self.images]
        return {
            "buckets": {str(n): {"resolution": list(size), "count": count} for n, (size, count) in enumerate(counts)},
            "mean_img_ar_error": sum(errors) / len(errors) if errors else 0.0,
        }

    def tag_frequency(self) -> dict[str, dict[str, int]]:
        """Folder (or metadata file) name to its tags and in how many pictures each stands; repeats are not counted."""
        names = [PurePath(subset.metadata_file or subset.image_dir or "").name for subset in self.plan.subsets]
        counts: dict[str, Counter[str]] = {}
        for image in self.images:
            text = image.caption if image.caption_source != FROM_METADATA else image.tags or ""
            tags = (tag.strip().lower() for tag in text.split(","))
            counts.setdefault(names[image.subset], Counter()).update(tag for tag in tags if tag)
        return {name: dict(count) for name, count in counts.items()}


@dataclass
class Scan:
    """All datasets of a run.

    Args:
        datasets: in the order of their sections.
        notes: what the user may want to know of pictures that are used; notes on captions stand with these.
    """

    datasets: tuple[ScannedDataset, ...]
    notes: list[str] = field(default_factory=list)

    @property
    def metadata(self) -> dict[str, str]:
        """Keys of the file besides those that tell of pictures."""
        return {}

    @property
    def pair_facts(self) -> list[dict[str, Any]]:
        """The pairs of prompts that a run without pictures learns from."""
        return []

    @property
    def has_controls(self) -> bool:
        """True when pictures come with control pictures."""
        return any(image.control_path is not None for dataset in self.datasets for image in dataset.images[:1])

    @property
    def all_notes(self) -> list[str]:
        """Notes on pictures and on captions, for whoever is not shown the captions themselves."""
        return self.notes + [note for dataset in self.datasets for note in dataset.captions.notes]

    @property
    def num_train_images(self) -> int:
        """Training pictures of all datasets, repeats counted."""
        return sum(dataset.num_train_images for dataset in self.datasets)

    @property
    def num_reg_images(self) -> int:
        """Regularization pictures of all datasets, repeats counted."""
        return sum(dataset.num_reg_images for dataset in self.datasets)

    @property
    def num_validation_images(self) -> int:
        """Pictures held out, of all datasets."""
        return sum(dataset.num_validation_images for dataset in self.datasets)

    @property
    def captions_by_extension(self) -> dict[str, int]:
        """Caption files found beside the pictures, by suffix."""
        total: Counter[str] = Counter()
        for dataset in self.datasets:
            total += dataset.captions.by_extension
        return dict(total)

    def batches_per_epoch(self) -> int:
        """Batches of all datasets over all processes."""
        return sum(dataset.batches_per_epoch() for dataset in self.datasets)

    def fingerprint(self) -> str:
        """Changes when pictures, captions, repeats or buckets do; folders may move. 32 hex digits."""
        digest = hashlib.blake2b(digest_size=16)
        for dataset in self.datasets:
            digest.update(f"{dataset.plan.batch_size}\x1d{len(dataset.images)}\x1d".encode())
            for image in (*dataset.images, *dataset.validation):
                facts = (image.name, image.size_wh, image.caption, image.repeats, image.bucket_wh, image.resized_wh)
                digest.update(repr(facts).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _ratio(size_wh: Size) -> float:
    return size_wh[0] / size_wh[1]
