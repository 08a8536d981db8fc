"""The pictures of a folder, read in small batches; one that cannot be read costs itself, not the run."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..data.images import Pixels, load_image
from ..data.listing import list_folder, stem_of
from ..disk import storage_error
from ..errors import DataError, Problems, UserError
from ..events import Phase, Report
from .progress import stop_if_asked

# Decoding large JPEGs takes longer than looking at them on a GPU.
READERS = 4


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


def find_pictures(
    folder: Path,
    report: Report,
    *,
    recursive: bool,
    caption_extension: str = ".txt",
    only: frozenset[Path] | None = None,
) -> list[Found]:
    """Pictures in a folder, and below it when `recursive`, in the order of their names; masks are none.

    Those that are not in `only` are passed over when it is given.

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
            if only is not None and path not in only:
                continue
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
    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque[list[Future[Read]]] = deque()
        for start in range(0, len(pictures), size):
            ahead.append([pool.submit(_read, found) for found in pictures[start : start + size]])
            # The next batch is decoded while the model looks at this one; never more than that waits in memory.
            if len(ahead) > 1:
                yield from _batch(ahead.popleft(), phase, report, outcome, len(pictures))
        while ahead:
            yield from _batch(ahead.popleft(), phase, report, outcome, len(pictures))


def tell_failure(problem: UserError, report: Report, outcome: Outcome) -> None:
    """One picture is left out: say why, count it, go on."""
    report.problem(problem)
    outcome.failed += 1


def _batch(
    futures: list[Future[Read]], phase: Phase, report: Report, outcome: Outcome, total: int
) -> Iterator[list[Read]]:
    stop_if_asked(report, phase.done, total)
    batch = []
    for future in futures:
        try:
            batch.append(future.result())
        except UserError as problem:
            tell_failure(problem, report, outcome)
    if batch:
        yield batch
    phase.advance(len(futures))


def _read(found: Found) -> Read:
    try:
        image = load_image(str(found.path))
    except OSError as error:
        raise storage_error(found.path, error) from error
    return Read(found, image.pixels, image.alpha)


def _folders_below(folder: Path) -> Iterator[Path]:
    for root, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield from (Path(root) / name for name in names)
