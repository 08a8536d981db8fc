"""Pairs pictures with the mask or control pictures of another folder: the same stem, each used exactly once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, Problems
from ..formats.picture_header import read_header
from ..options.dataset_plan import CONTROLLED, MASKED, SubsetPlan
from .buckets import Size
from .listing import folded, list_folder, some, stem_of
from .records import ImageRecord, PairFacts

# Pixels that a side may be off when two pictures of different sizes are said to have the same shape: programs that
# make them round in their own ways.
ROUNDING = 1.0


@dataclass(frozen=True)
class Companion:
    """What stands beside the pictures.

    Args:
        one, many: its name.
        attribute: of the record, that holds its path.
        must_match_shape: where it need not have its picture's size, it must still have its shape.
    """

    one: str
    many: str
    attribute: str
    must_match_shape: bool


COMPANIONS = {
    MASKED: Companion("mask", "masks", "mask_path", must_match_shape=False),
    CONTROLLED: Companion("control picture", "control pictures", "control_path", must_match_shape=True),
}


def pair_up(
    records: list[ImageRecord],
    subset: SubsetPlan,
    *,
    must_match_size: bool,
    left_out: Sequence[str],
    problems: Problems,
    roots: Sequence[Path] | None,
) -> PairFacts:
    """Set `mask_path` or `control_path` of every record; what is missing, left over or of another size is a problem.

    Args:
        subset: of a kind in COMPANIONS.
        left_out: names of pictures that cannot be used; what belongs to them is not left over.
        must_match_size: with buckets both have exactly the same size, because both are cropped alike.
    """
    companion = COMPANIONS[subset.kind]
    folder = subset.conditioning_data_dir or ""
    if os.path.realpath(folder) == os.path.realpath(subset.image_dir or ""):
        problems.warn(f"{folder}: the {companion.many} are the pictures themselves.")
    listing = list_folder(folder, problems, roots)
    by_stem: dict[str, str] = {}
    for name in listing.pictures:
        by_stem.setdefault(folded(stem_of(name)), name)
    unused = set(listing.pictures) - {by_stem.get(folded(stem_of(name)), "") for name in left_out}
    missing: list[str] = []
    misfits: list[str] = []
    fits = _same_size if must_match_size else _same_shape if companion.must_match_shape else None
    for record in records:
        beside = by_stem.get(folded(stem_of(record.name)))
        if beside is None:
            missing.append(record.name)
            continue
        unused.discard(beside)
        path = f"{folder}{os.sep}{beside}"
        setattr(record, companion.attribute, path)
        size_wh = _size_of(path, companion, problems) if fits else None
        if fits and size_wh is not None and not fits(size_wh, record.size_wh):
            misfits.append(f"{beside} ({_text(size_wh)}, its picture {_text(record.size_wh)})")
    told = _Told(folder, companion, problems)
    told.missing(missing)
    told.unused(sorted(unused), subset.image_dir or "")
    told.misfits(misfits, "size" if must_match_size else "shape")
    complete = len(records) - len(missing) - len(misfits)
    pictures = subset.image_dir or ""
    return PairFacts(pictures, folder, complete, tuple(missing), tuple(sorted(unused)), tuple(misfits))


class _Told:
    """Says what is wrong with the pairs of a folder."""

    def __init__(self, folder: str, companion: Companion, problems: Problems) -> None:
        self.folder, self.companion, self.problems = folder, companion, problems

    def missing(self, names: list[str]) -> None:
        one, many = self.companion.one, self.companion.many
        fix = f"Add the {many}, or move the pictures to another subset."
        self._tell(names, "picture has", "pictures have", f"no {one} of the same name", fix)

    def unused(self, names: list[str], pictures: str) -> None:
        one, many = self.companion.one, self.companion.many
        fix = f"Add pictures to {pictures}, or remove what is left over."
        self._tell(names, f"{one} has", f"{many} have", "no picture of the same name", fix)

    def misfits(self, names: list[str], kind: str) -> None:
        one, many = self.companion.one, self.companion.many
        fix = f"Give each the {kind} of its picture, so that both are cropped alike."
        self._tell(names, f"{one} has", f"{many} have", f"another {kind} than the picture", fix)

    def _tell(self, names: list[str], one: str, many: str, what: str, fix: str) -> None:
        if names:
            subject = f"1 {one}" if len(names) == 1 else f"{len(names)} {many}"
            self.problems.add(DataError(where=self.folder, what=f"{subject} {what}: {some(names)}.", fix=fix))


def _size_of(path: str, companion: Companion, problems: Problems) -> Size | None:
    try:
        return read_header(path).size_wh
    except DataError as problem:
        problems.add(problem)
    except OSError as error:
        problems.add(DataError(where=path, what=f"The {companion.one} cannot be read: {error.strerror}."))
    return None


def _same_size(one: Size, other: Size) -> bool:
    return one == other


def _same_shape(one: Size, other: Size) -> bool:
    """Whether one, scaled to the width of the other, has its height up to rounding."""
    smaller, larger = sorted((one, other))
    return abs(larger[0] * smaller[1] - larger[1] * smaller[0]) <= ROUNDING * max(larger)


def _text(size_wh: Size) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"
