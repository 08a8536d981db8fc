"""Pairs pictures with their mask pictures: the same stem in another folder, each used exactly once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, Problems
from ..formats.picture_header import read_header
from ..options.dataset_plan import SubsetPlan
from .listing import list_folder, some, stem_of
from .records import ImageRecord


def pair_masks(
    records: list[ImageRecord],
    subset: SubsetPlan,
    *,
    must_match_size: bool,
    problems: Problems,
    roots: Sequence[Path] | None,
) -> None:
    """Set `mask_path` of every record; pictures without mask and masks without picture are problems.

    Args:
        must_match_size: with buckets a mask has exactly the size of its picture, because both are cropped alike.
    """
    folder = subset.conditioning_data_dir or ""
    listing = list_folder(folder, problems, roots)
    by_stem: dict[str, str] = {}
    for name in listing.pictures:
        by_stem.setdefault(stem_of(name), name)
    unused = set(listing.pictures)
    missing: list[str] = []
    other_size: list[str] = []
    for record in records:
        mask = by_stem.get(stem_of(record.name))
        if mask is None:
            missing.append(record.name)
            continue
        unused.discard(mask)
        record.mask_path = f"{folder}{os.sep}{mask}"
        if must_match_size and not _has_size(record, problems):
            other_size.append(mask)
    for names, what, fix in (
        (missing, "pictures have no mask of the same name", "Add the masks, or move the pictures to another subset."),
        (
            sorted(unused),
            "masks have no picture of the same name",
            f"Add pictures to {subset.image_dir}, or remove them.",
        ),
        (other_size, "masks have another size than their picture", "Give them the picture's size in pixels."),
    ):
        if names:
            problems.add(DataError(where=folder, what=f"{len(names)} {what}: {some(names)}.", fix=fix))


def _has_size(record: ImageRecord, problems: Problems) -> bool:
    try:
        return read_header(record.mask_path or "").size_wh == record.size_wh
    except DataError as problem:
        problems.add(problem)
    except OSError as error:
        problems.add(DataError(where=record.mask_path or "", what=f"The mask cannot be read: {error.strerror}."))
    return True
