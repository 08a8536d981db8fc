"""Folders of pictures to choose from: those that were looked at last, and those that trainings read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import StorageError, UserError
from ..files import write_json
from ..formats.toml_file import parse_toml
from ..jobs.folder import read_object
from ..jobs.shelf import Job, Shelf
from ..options.contents import DATASET_FILE
from ..paths import PathPolicy, resolve_user_path

NAME, KEY = "recent-folders.json", "folders"
KEPT, JOBS_READ, SHOWN = 20, 30, 30
FOLDER_OPTIONS = ("train_data_dir", "reg_data_dir", "conditioning_data_dir")
FOLDER_KEYS = ("image_dir", "conditioning_data_dir")


def remember(data: Path, folder: Path) -> None:
    """Put a folder in front of those that were looked at; a disk that refuses costs the memory alone."""
    before = _looked_at(data)
    if before[:1] == [str(folder)]:
        return
    others = [one for one in before if one != str(folder)]
    with contextlib.suppress(StorageError, OSError):
        data.mkdir(parents=True, exist_ok=True)
        write_json(data / NAME, {KEY: [str(folder), *others][:KEPT]}, sync=False)


def recent_folders(shelf: Shelf, policy: PathPolicy) -> list[str]:
    """Folders that are still there and allowed: first those looked at, then those of the newest jobs."""
    found: dict[str, None] = {}
    for text in dict.fromkeys((*_looked_at(shelf.data_dir), *_trained(shelf))):
        with contextlib.suppress(UserError, OSError):
            found[str(resolve_user_path(text, "folder", where="folder", policy=policy))] = None
        if len(found) >= SHOWN:
            break
    return list(found)


def _looked_at(data: Path) -> list[str]:
    listed = read_object(data / NAME).get(KEY)
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _trained(shelf: Shelf) -> Iterator[str]:
    for job in islice(shelf.all(), JOBS_READ):
        with contextlib.suppress(UserError, OSError, ValueError):
            options = job.spec().options
            yield from (options[name] for name in FOLDER_OPTIONS if isinstance(options.get(name), str))
            yield from _of_dataset(job)


def _of_dataset(job: Job) -> Iterator[str]:
    """The folders in the dataset file that a job keeps."""
    path = job.folder / DATASET_FILE
    if not path.is_file():
        return
    for dataset in _tables(parse_toml(path.read_text("utf-8"), str(path)).get("datasets")):
        for subset in _tables(dataset.get("subsets")):
            yield from (subset[key] for key in FOLDER_KEYS if isinstance(subset.get(key), str))


def _tables(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
