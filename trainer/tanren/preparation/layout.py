"""Making data sets out of pictures: `<repeats>_<name>` folders, dataset files, flat archives for sharing."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ..data.listing import folded, list_folder
from ..disk import storage_error
from ..errors import DataError, Problems, UsageError
from ..formats.toml_file import write_nested
from ..options.dataset_plan import DatasetPlan
from ..paths import check_created_name
from .caption_edit import PictureCaption, captions_of
from .caption_files import AUTO, encoded
from .index import captions_beside, usual_suffix
from .journal import Journal
from .levels import Level

COPY, LINK, HARD_LINK = "copy", "link", "hard link"
WAYS = (COPY, LINK, HARD_LINK)
BLOCK_BYTES = 2**20
ARCHIVE_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Placing:
    """A file and where it is put; the file itself stays where it is."""

    source: Path
    target: Path


def plan_layout(level: Level, parent: Path, *, repeats: int, name: str) -> list[Placing]:
    """Say which files would go into `<parent>/<repeats>_<name>`: pictures, their captions and masks beside them.

    Args:
        level: of which pictures.
        parent: what will be `--train_data_dir`.
        repeats: times a picture counts in an epoch.
        name: the words that are trained where there is no caption.

    Raises:
        UsageError: no such repeats or name, or two files would have the same name.
    """
    if repeats < 1:
        raise UsageError(where=f"repeats {repeats}", what="Folders with fewer than 1 repeat are left out of training.")
    folder = parent / check_created_name(f"{repeats}_{name.strip()}", where="name")
    if not name.strip():
        raise UsageError(where="name", what="The name is empty.", fix="Give the word that will be trained: sks girl.")
    placings = [Placing(part.folder / one, folder / one) for part in level.parts for one in _files_of(part.folder)]
    seen: dict[str, Path] = {}
    for placing in placings:
        other = seen.setdefault(folded(placing.target.name), placing.source)
        if other != placing.source:
            raise UsageError(
                where=str(folder),
                what=f"{other} and {placing.source} would have the same name there.",
                fix="Rename one of them, or lay out the folders one by one.",
            )
    return placings


def lay_out(
    placings: Sequence[Placing],
    journal: Journal,
    *,
    way: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Put files where they were planned; what is there already is left alone. Returns how many were put.

    Args:
        placings: as planned.
        journal: writes them down.
        way: COPY; LINK (needs rights on Windows) or HARD_LINK (on one disk), which take no room.
        progress: told (done, total) after each.

    Raises:
        UsageError: there is no such way.
        StorageError: the disk refuses; what was put until then can be undone.
    """
    if way not in WAYS:
        raise UsageError(where=way, what="There is no such way.", fix=f"Choose {', '.join(WAYS)}.")
    if not placings:
        return 0
    folder = placings[0].target.parent
    put = 0
    with journal.operation(f"layout {folder.name}", folder.parent) as recorder:
        recorder.make_folder(folder)
        for number, placing in enumerate(placings, 1):
            if not os.path.lexists(placing.target):
                if way == COPY:
                    size = placing.source.stat().st_size
                    recorder.create(placing.target, partial(_copy_into, placing.source), expected_bytes=size)
                else:
                    recorder.link(placing.target, placing.source.resolve(), hard=way == HARD_LINK)
                put += 1
            progress(number, len(placings))
    return put


def dataset_toml(level: Level, plan: DatasetPlan, *, batch_size: int, suffix: str) -> str:
    """A dataset file (`--dataset_config`) for the folders as they are.

    Args:
        level: its parts become subsets with their repeats and words.
        plan: resolution and buckets.
        batch_size: pictures a batch.
        suffix: of the captions.
    """
    dataset: dict[str, object] = {"resolution": list(plan.resolution_wh), "batch_size": batch_size}
    if plan.enable_bucket:
        dataset |= {
            "enable_bucket": True,
            "min_bucket_reso": plan.min_bucket_reso,
            "max_bucket_reso": plan.max_bucket_reso,
            "bucket_reso_steps": plan.bucket_reso_steps,
            "bucket_no_upscale": plan.bucket_no_upscale,
        }
    subsets = []
    for part in level.parts:
        subset: dict[str, object] = {"image_dir": str(part.folder.absolute()), "num_repeats": part.repeats}
        if part.name:
            subset["class_tokens"] = part.name
        if part.is_regularization:
            subset["is_reg"] = True
        subsets.append(subset)
    dataset["subsets"] = subsets
    return write_nested({"general": {"caption_extension": suffix}, "datasets": [dataset]})


def write_dataset_toml(text: str, path: Path, journal: Journal) -> None:
    """Write a dataset file.

    Raises:
        UsageError: the name does not end in .toml.
        DataError: there is a file of this name.
    """
    if path.suffix.lower() != ".toml":
        raise UsageError(where=str(path), what="A dataset file ends in .toml.", fix="Add .toml to its name.")
    with journal.operation(f"dataset file {path.name}", path.parent) as recorder:
        recorder.write_new(path, text.encode("utf-8"))


def export_archive(
    level: Level,
    path: Path,
    journal: Journal,
    *,
    suffix: str | None = None,
    encoding: str = AUTO,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write a flat zip file of all pictures with their captions as `.txt`, as sites for sharing models take it.

    Args:
        level: of which pictures.
        path: the file, which must not be there yet.
        journal: writes it down.
        suffix: of the captions that are read where a picture has several; None: what each folder uses most.
        encoding: of captions that are not in UTF-8.
        progress: told (done, total) after each picture.

    Returns:
        How many pictures are in it.

    Raises:
        UsageError: the name does not end in .zip, or two pictures have the same name.
        DataError: there is a file of this name, or a caption cannot be read.
    """
    if path.suffix.lower() != ".zip":
        raise UsageError(where=str(path), what="An archive ends in .zip.", fix="Add .zip to its name.")
    captions = list(captions_of(level, suffix, encoding=encoding))
    _refuse_shared_names(captions, path)
    needed = sum(caption.picture.stat().st_size for caption in captions)
    with journal.operation(f"archive {path.name}", path.parent) as recorder:
        recorder.create(path, partial(_fill_archive, captions, progress), expected_bytes=needed)
    return len(captions)


def _fill_archive(captions: Sequence[PictureCaption], progress: Callable[[int, int], None], file: BinaryIO) -> None:
    # Pictures are compressed already; the same pictures give the same bytes.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for number, caption in enumerate(captions, 1):
            with (
                caption.picture.open("rb") as picture,
                archive.open(zipfile.ZipInfo(caption.picture.name, ARCHIVE_DATE), "w", force_zip64=True) as entry,
            ):
                while block := picture.read(BLOCK_BYTES):
                    entry.write(block)
            if caption.text.strip():
                about = zipfile.ZipInfo(f"{caption.picture.stem}.txt", ARCHIVE_DATE)
                archive.writestr(about, encoded(caption.text.strip()))
            progress(number, len(captions))


def _refuse_shared_names(captions: Sequence[PictureCaption], path: Path) -> None:
    seen: dict[str, Path] = {}
    for caption in captions:
        if caption.problem:
            raise DataError(where=str(caption.target), what=f"The caption cannot be read: {caption.problem}.")
        other = seen.setdefault(folded(caption.picture.stem), caption.picture)
        if other != caption.picture:
            raise UsageError(
                where=str(path),
                what=f"{other} and {caption.picture} would share a name in the archive.",
                fix="Rename one of them, or export the folders one by one.",
            )


def _files_of(folder: Path) -> Iterator[str]:
    problems = Problems()
    listing = list_folder(str(folder), problems)
    problems.raise_if_any()
    first = usual_suffix(listing)
    seen: set[str] = set()
    for name in listing.pictures:
        for one in (name, *captions_beside(listing, name, first)):
            if one not in seen:
                seen.add(one)
                yield one
    yield from sorted(listing.masks.values())


def _copy_into(source: Path, file: BinaryIO) -> None:
    try:
        with source.open("rb") as opened:
            while block := opened.read(BLOCK_BYTES):
                file.write(block)
    except OSError as error:
        raise storage_error(source, error) from error
