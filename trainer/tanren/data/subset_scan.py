"""One subset: its pictures opened as far as their headers, fitted to buckets, paired with masks or control pictures."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError, Problems
from ..events import Report
from ..formats.picture_header import SUFFIXES, PictureHeader, PictureLimits, check_limits, read_header, unreadable
from ..options.dataset import DatasetOptions
from ..options.dataset_plan import DatasetPlan
from .buckets import Fit, Size
from .listing import some
from .pairs_on_disk import COMPANIONS, pair_up
from .picture_sources import Finder
from .records import FROM_FOLDER, CaptionCount, ImageRecord, PairFacts
from .twins import warn_of_twins

TOLD_EVERY = 1000


@dataclass
class SubsetScan:
    """What one subset holds.

    Args:
        records: pictures that can be used.
        bad: the others.
        notes: what the user may want to know of pictures that are used.
        captions: how captions were found.
        pairs: how they fit to masks or control pictures of another folder; None where there are none.
    """

    records: list[ImageRecord]
    bad: list[DataError]
    notes: list[str]
    captions: CaptionCount
    pairs: PairFacts | None = None


@dataclass
class _Oddities:
    """Pictures that are used, but about which the user may want to know."""

    animated: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    broken_exif: list[str] = field(default_factory=list)
    enlarged: list[str] = field(default_factory=list)
    with_alpha: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))

    def see(self, name: str, header: PictureHeader, resized_wh: Size) -> None:
        self.sizes.append(header.file_bytes)
        if header.is_animated:
            self.animated.append(name)
        if header.has_broken_exif:
            self.broken_exif.append(name)
        if not name.lower().endswith(SUFFIXES.get(header.format, ("",))):
            self.misnamed.append(name)
        if header.has_alpha:
            self.with_alpha.append(name)
        if resized_wh[0] > header.size_wh[0]:
            self.enlarged.append(name)

    def notes(self, where: str, longer_captions: list[str], *, alpha_is_mask: bool) -> list[str]:
        with_alpha = [] if alpha_is_mask else self.with_alpha
        told = (
            (self.animated, "is animated; its first frame is used", "are animated; their first frame is used"),
            (
                self.misnamed,
                "has the suffix of another kind; its content counts",
                "have the suffix of another kind; their content counts",
            ),
            (self.broken_exif, "has broken EXIF data, which is ignored", "have broken EXIF data, which is ignored"),
            (
                self.enlarged,
                "is smaller than its bucket and is enlarged",
                "are smaller than their bucket and are enlarged",
            ),
            (
                with_alpha,
                "has an alpha channel; transparent parts become white",
                "have an alpha channel; transparent parts become white",
            ),
            (
                longer_captions,
                "has a caption of several lines, of which only the first counts",
                "have captions of several lines, of which only the first counts",
            ),
        )
        return [f"{where}: {_counted(len(names), one, many)}: {some(names)}." for names, one, many in told if names]


@dataclass(frozen=True)
class ScanContext:
    """What every part of a scan needs.

    Args:
        options: limits and policies for pictures.
        report: told about progress.
        problems: receives every problem and warning.
        seed: of the run.
        roots: symbolic links are followed only to files below these; None: to any file.
    """

    options: DatasetOptions
    report: Report
    problems: Problems
    seed: int
    roots: Sequence[Path] | None


def scan_subset(plan: DatasetPlan, index: int, fit: Callable[[Size], Fit], context: ScanContext) -> SubsetScan:
    """Read the headers and captions of one subset.

    Args:
        plan: the dataset; `index` is the subset's place in it.
        fit: picture size to bucket.
    """
    subset, options, problems = plan.subsets[index], context.options, context.problems
    finder = Finder(subset, problems, context.roots)
    oddities = _Oddities()
    opener = _Opener(plan, PictureLimits(options.max_pixels, options.min_side or plan.bucket_reso_steps), fit)
    records: list[ImageRecord] = []
    bad: list[DataError] = []
    with context.report.phase("scan") as phase:
        for found in finder.pictures():
            try:
                header, (bucket, resized) = opener.open(found.path)
            except DataError as problem:
                bad.append(problem)
                continue
            oddities.see(found.name, header, resized)
            size = opener.shared(header.size_wh)
            record = ImageRecord(
                *found[:2], size, *found[2:4], subset.num_repeats, index, subset.is_reg, bucket, resized
            )
            record.tags = found.tags
            record.mask_path = found.mask_path if options.masked_loss else None
            records.append(record)
            if len(records) % TOLD_EVERY == 0:
                phase.advance(TOLD_EVERY)
    warn_of_twins(records, oddities.sizes, problems)
    pairs = None
    if subset.kind in COMPANIONS:
        pairs = pair_up(
            records,
            subset,
            must_match_size=plan.enable_bucket,
            left_out=[Path(problem.where).name for problem in bad],
            problems=problems,
            roots=context.roots,
        )
    where = subset.image_dir or subset.where
    notes = oddities.notes(where, finder.longer_captions, alpha_is_mask=subset.alpha_mask)
    if records and not subset.is_reg and all(record.caption_source == FROM_FOLDER for record in records):
        text = f"no {subset.caption_extension} files; every picture is trained with the text {subset.class_tokens!r}."
        finder.captions.notes.append(f"{where}: {text}")
    return SubsetScan(records, bad, notes, finder.captions, pairs)


def _counted(number: int, one: str, many: str) -> str:
    return f"1 picture {one}" if number == 1 else f"{number} pictures {many}"


class _Opener:
    """Opens headers and fits sizes; equal sizes are one object, which keeps a million records small."""

    def __init__(self, plan: DatasetPlan, limits: PictureLimits, fit: Callable[[Size], Fit]) -> None:
        self._plan, self._limits, self._fit = plan, limits, fit
        self._sizes: dict[Size, Size] = {}
        self._fits: dict[Size, Fit] = {}

    def open(self, path: str) -> tuple[PictureHeader, Fit]:
        try:
            header = read_header(path)
        except OSError as error:
            raise unreadable(path, f"The system says: {error.strerror or error}.") from error
        check_limits(header.size_wh, self._limits, path)
        fit = self._fits.get(header.size_wh)
        if fit is None:
            bucket, resized = self._fit(header.size_wh)
            fit = Fit(self.shared(bucket), self.shared(resized))
            self._fits[self.shared(header.size_wh)] = fit
        if min(fit.bucket_wh) < 1:
            raise self._no_bucket(path, fit)
        return header, fit

    def shared(self, size_wh: Size) -> Size:
        return self._sizes.setdefault(size_wh, size_wh)

    def _no_bucket(self, path: str, fit: Fit) -> DataError:
        return DataError(
            where=path,
            what=f"The picture has no bucket: it would be {fit.bucket_wh[0]}x{fit.bucket_wh[1]} pixels.",
            why=f"Without enlarging, a side must have at least {self._plan.bucket_reso_steps} pixels after resizing.",
            fix="Remove it, or leave out --bucket_no_upscale.",
        )
