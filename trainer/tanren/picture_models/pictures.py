"""The pictures of a folder, read in small batches; one that cannot be read costs itself, not the run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.images import Pixels, load_image
from ..data.listing import list_folder, stem_of
from ..disk import storage_error
from ..errors import DataError, Problems, UserError
from ..events import Phase, Report
from .progress import stop_if_asked


@dataclass(frozen=True)
class Found:
    """A picture file.

    Args:
        path: absolute.
        inside: the same below the folder that was named, for copies.
        caption: its caption file as it is spelt on the disk, or as it would be called.
    """

    path: Path
    inside: Path
    caption: Path


@dataclass(frozen=True)
class Read:
    """A picture that could be read, (H, W, 3), upright, on white, and its transparency (H, W) if it has any."""

    found: Found
    pixels: Pixels
    alpha: Pixels | None


@dataclass
class Outcome:
    """What became of the pictures."""

    written: int = 0
    unchanged: int = 0
    failed: int = 0


def find_pictures(folder: Path, report: Report, *, recursive: bool, caption_extension: str = ".txt") -> list[Found]:
    """Pictures in a folder, and below it when `recursive`, in the order of their names; masks are none.

    Raises:
        DataError: there are none, or the folder cannot be read.
    """
    problems = Problems()
    found: list[Found] = []
    for place in [folder, *(_folders_below(folder) if recursive else [])]:
        listing = list_folder(str(place), problems)
        for name in listing.pictures:
            caption = stem_of(name) + caption_extension
            path = place / name
            found.append(Found(path, path.relative_to(folder), place / (listing.find(caption) or caption)))
    for warning in problems.warnings:
        report.warning(warning)
    problems.raise_if_any()
    if not found:
        raise DataError(
            where=str(folder),
            what="No pictures were found there.",
            fix="Name the folder that holds them" + ("." if recursive else ", or add --recursive."),
        )
    return found


def read_batches(
    pictures: Sequence[Found], size: int, phase: Phase, report: Report, outcome: Outcome
) -> Iterator[list[Read]]:
    """Batches of up to `size` pictures that could be read; the others are told as problems and counted.

    Raises:
        StoppedOnRequest: somebody asked, between two batches.
    """
    for start in range(0, len(pictures), size):
        stop_if_asked(report, start, len(pictures))
        some = pictures[start : start + size]
        batch = [read for read in (_read(found, report, outcome) for found in some) if read is not None]
        if batch:
            yield batch
        phase.advance(len(some))


def tell_failure(problem: UserError, report: Report, outcome: Outcome) -> None:
    """One picture is left out: say why, count it, go on."""
    report.problem(problem)
    outcome.failed += 1


def _read(found: Found, report: Report, outcome: Outcome) -> Read | None:
    try:
        image = load_image(str(found.path))
    except DataError as problem:
        tell_failure(problem, report, outcome)
    except OSError as error:
        tell_failure(storage_error(found.path, error), report, outcome)
    else:
        return Read(found, image.pixels, image.alpha)
    return None


def _folders_below(folder: Path) -> Iterator[Path]:
    for root, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (Path(root) / name for name in names)
