"""The data sets and buckets a file was trained on, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .values import count_of, parse_json_value


@dataclass(frozen=True)
class FolderRow:
    """One folder of pictures; None where the file does not say."""

    name: str
    pictures: int | None
    repeats: int | None
    resolution: str = ""
    class_tokens: str = ""
    is_regularization: bool = False


@dataclass(frozen=True)
class BucketRow:
    """One bucket: width and height in pixels, and pictures with repeats."""

    width: int
    height: int
    pictures: int


@dataclass(frozen=True)
class PictureTables:
    """Both tables, and sentences about what could not be read."""

    folders: tuple[FolderRow, ...] = ()
    buckets: tuple[BucketRow, ...] = ()
    problems: tuple[str, ...] = ()


def picture_tables(metadata: Mapping[str, str]) -> PictureTables:
    """Folders from `ss_datasets`, else from `ss_dataset_dirs`; buckets from both places they can stand in."""
    datasets = parse_json_value(metadata, "ss_datasets", list)
    plain = parse_json_value(metadata, "ss_dataset_dirs", dict)
    regular = parse_json_value(metadata, "ss_reg_dataset_dirs", dict)
    buckets = parse_json_value(metadata, "ss_bucket_info", dict)
    sets = [one for one in datasets.value or [] if isinstance(one, dict)]
    folders = [row for one in sets for row in _subset_rows(one)]
    if not folders:
        folders = [*_directory_rows(plain.value, False), *_directory_rows(regular.value, True)]
    bucket_rows = _bucket_rows(buckets.value)
    if not bucket_rows:
        bucket_rows = [row for one in sets for row in _bucket_rows(one.get("bucket_info"))]
    problems = [parsed.problem for parsed in (datasets, plain, regular, buckets) if parsed.problem]
    return PictureTables(tuple(folders), tuple(sorted(bucket_rows, key=_size)), tuple(problems))


def _subset_rows(dataset: dict[str, Any]) -> list[FolderRow]:
    subsets = dataset.get("subsets")
    resolution = dataset.get("resolution")
    size = " × ".join(str(count_of(side)) for side in resolution[:2]) if isinstance(resolution, list) else ""
    return [
        FolderRow(
            name=_text(one.get("image_dir") or one.get("metadata_file")),
            pictures=count_of(one.get("img_count")),
            repeats=count_of(one.get("num_repeats")),
            resolution=size,
            class_tokens=_text(one.get("class_tokens")),
            is_regularization=one.get("is_reg") is True,
        )
        for one in (subsets if isinstance(subsets, list) else [])
        if isinstance(one, dict)
    ]


def _directory_rows(content: Any, is_regularization: bool) -> list[FolderRow]:
    return [
        FolderRow(name, count_of(facts.get("img_count")), count_of(facts.get("n_repeats")), "", "", is_regularization)
        for name, facts in (content or {}).items()
        if isinstance(facts, dict)
    ]


def _bucket_rows(content: Any) -> list[BucketRow]:
    buckets = content.get("buckets") if isinstance(content, dict) else None
    rows = []
    for one in buckets.values() if isinstance(buckets, dict) else []:
        sides = one.get("resolution") if isinstance(one, dict) else None
        if not isinstance(sides, list) or len(sides) != 2:
            continue
        width, height, pictures = count_of(sides[0]), count_of(sides[1]), count_of(one.get("count"))
        if width is not None and height is not None and pictures is not None:
            rows.append(BucketRow(width, height, pictures))
    return rows


def _size(row: BucketRow) -> tuple[int, int]:
    return row.width, row.height


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
