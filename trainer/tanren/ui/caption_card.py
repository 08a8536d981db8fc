"""What the folders of pictures hold, as the form shows it: how they were understood, captions, sizes, oddities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..data.listing import picture_suffixes
from ..data.records import FROM_FOLDER, NO_CAPTION, Scan, ScannedDataset
from ..errors import UserError
from ..options.dataset_plan import SubsetPlan

NAMES_KEPT = 200
WITHOUT_CAPTION = (FROM_FOLDER, NO_CAPTION)


@dataclass(frozen=True)
class FolderFacts:
    """One subset as it was understood.

    Args:
        folder: of the pictures, or the metadata file.
        pictures: that can be used.
        repeats: of each per epoch.
        is_regularization: they show what must not change.
        caption_instead: what is trained for pictures without a caption; empty where that is nothing.
        without_caption: pictures that this concerns.
    """

    folder: str
    pictures: int
    repeats: int
    is_regularization: bool
    caption_instead: str
    without_caption: int

    @property
    def has_no_captions(self) -> bool:
        """True when no picture has a caption of its own."""
        return 0 < self.pictures <= self.without_caption


@dataclass(frozen=True)
class CaptionCard:
    """All pictures of a run.

    Args:
        folders: in the order they are trained.
        pictures: that can be used, repeats not counted.
        captioned: those with a caption, by whatever suffix or metadata file.
        by_extension: caption files found, by suffix.
        read: those whose caption will be trained.
        missing: names of the others, for which something else or nothing is trained; at most `NAMES_KEPT`.
        unread: how many of the missing have a caption with another suffix.
        unusable: names of pictures that cannot be read or used; at most `NAMES_KEPT`.
        num_unusable: how many there are.
        buckets: (width, height) in pixels and pictures of that size, repeats counted.
        held_out: pictures for validation.
        notes: sentences about single pictures.
    """

    folders: tuple[FolderFacts, ...]
    pictures: int
    captioned: int
    by_extension: dict[str, int]
    read: int
    missing: tuple[str, ...]
    unread: int
    unusable: tuple[str, ...]
    num_unusable: int
    buckets: tuple[tuple[int, int, int], ...]
    held_out: int
    notes: tuple[str, ...]


def caption_card(scan: Scan, errors: Sequence[UserError]) -> CaptionCard:
    """The card of a scan.

    Args:
        scan: its pictures.
        errors: of the run; those about pictures are taken from them.
    """
    images = [image for dataset in scan.datasets for image in (*dataset.images, *dataset.validation)]
    bare = [image.path for image in images if image.caption_source in WITHOUT_CAPTION]
    elsewhere = {path for dataset in scan.datasets for path in dataset.captions.unread}
    unread = sum(path in elsewhere for path in bare)
    unusable = sorted(_unusable(scan, errors))
    sizes: Counter[tuple[int, int]] = Counter()
    for dataset in scan.datasets:
        sizes.update(dataset.bucket_counts())
    return CaptionCard(
        folders=tuple(folder for dataset in scan.datasets for folder in _folders(dataset)),
        pictures=len(images),
        captioned=len(images) - len(bare) + unread,
        by_extension=dict(sorted(scan.captions_by_extension.items(), key=lambda one: -one[1])),
        read=len(images) - len(bare),
        missing=_names(bare),
        unread=unread,
        unusable=_names(unusable),
        num_unusable=len(unusable),
        buckets=tuple((width, height, count) for (width, height), count in sorted(sizes.items())),
        held_out=scan.num_validation_images,
        notes=tuple(scan.notes),
    )


def _folders(dataset: ScannedDataset) -> list[FolderFacts]:
    bare = Counter(
        image.subset for image in (*dataset.images, *dataset.validation) if image.caption_source in WITHOUT_CAPTION
    )
    pairs = zip(dataset.plan.subsets, dataset.subset_images, strict=True)
    return [_folder(subset, count, bare[index]) for index, (subset, count) in enumerate(pairs)]


def _folder(subset: SubsetPlan, pictures: int, bare: int) -> FolderFacts:
    return FolderFacts(
        folder=subset.image_dir or subset.metadata_file or "",
        pictures=pictures,
        repeats=subset.num_repeats,
        is_regularization=subset.is_reg,
        caption_instead=subset.class_tokens or "",
        without_caption=bare,
    )


def _unusable(scan: Scan, errors: Sequence[UserError]) -> set[str]:
    """Paths of pictures that errors are about."""
    suffixes = picture_suffixes()
    folders = {subset.image_dir for dataset in scan.datasets for subset in dataset.plan.subsets}
    return {
        error.where
        for error in errors
        if error.where.lower().endswith(suffixes) and str(PurePath(error.where).parent) in folders
    }


def _names(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(PurePath(path).name for path in paths[:NAMES_KEPT])
