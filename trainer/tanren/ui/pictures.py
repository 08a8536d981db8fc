"""A folder of pictures as a dataset, whatever level of kohya's layout it is.

A parent of `<repeats>_<name>` folders stays what it is for `--train_data_dir`. A folder that holds pictures itself
becomes a dataset of one subset, so that nothing on the disk has to be renamed or moved.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..formats.json_file import read_json
from ..formats.toml_file import read_toml
from ..options.contents import DATASET
from ..options.dataset_folders import NUMBERED, PICTURE_SUFFIXES
from ..paths import PathPolicy, resolve_user_path

DEFAULT_REPEATS = 10
KEYS = frozenset(("image_dir", "num_repeats", "class_tokens"))


@dataclass(frozen=True)
class Known:
    """A dataset that `dataset_of` made, as the form asked for it.

    Args:
        folder: of the pictures.
        repeats: as typed; None where they follow from the folder.
        trigger: caption of pictures without one; empty where it follows from the folder.
        regularization: parent of the regularization folders, or empty.
    """

    folder: str
    repeats: int | None
    trigger: str
    regularization: str


def dataset_of(
    folder: str, repeats: int | None, trigger: str, regularization: str, policy: PathPolicy
) -> dict[str, Any] | None:
    """The tables of a dataset for a folder that holds pictures itself.

    Args:
        folder: as typed.
        repeats: None for the number in front of the folder's name, else ten.
        trigger: caption of pictures without one; empty for the folder's name behind the number.
        regularization: parent of `<repeats>_<class>` folders, or empty.
        policy: where the folders may lie.

    Returns:
        None where `--train_data_dir` is the right option: a parent of numbered folders, or a folder that the checks
        have to say something about.
    """
    try:
        path = resolve_user_path(folder, "folder", policy=policy)
        if _numbered_folders(path) or not _has_pictures(path):
            return None
        others = _numbered_folders(resolve_user_path(regularization, "folder", policy=policy)) if regularization else []
    except (UserError, OSError):
        return None
    usual_repeats, usual_trigger = _usual(path)
    subset = _subset(path, repeats or usual_repeats, trigger or usual_trigger)
    subsets = [subset, *map(_regularization, others)]
    return {"datasets": [{"subsets": subsets}]}


def recognised(options: Mapping[str, Any]) -> Known | None:
    """What a form has to show for a dataset that `dataset_of` made; None for any other."""
    data = _data_of(options.get(DATASET))
    try:
        (dataset,) = data["datasets"]
        first, *others = dataset["subsets"]
        ours = set(data) == {"datasets"} and set(dataset) == {"subsets"} and set(first) <= KEYS
        folder = Path(first["image_dir"])
        parents = {str(Path(other["image_dir"]).parent) for other in others}
        alike = all(_regularization(Path(other["image_dir"])) == other for other in others)
    except (TypeError, KeyError, ValueError):
        return None
    if not ours or not alike or len(parents) > 1 or not isinstance(first.get("num_repeats"), int):
        return None
    repeats, trigger = _usual(folder)
    return Known(
        folder=str(folder),
        repeats=None if first["num_repeats"] == repeats else first["num_repeats"],
        trigger="" if first.get("class_tokens", "") == trigger else first.get("class_tokens", ""),
        regularization="".join(parents),
    )


def _numbered_folders(parent: Path) -> list[Path]:
    return sorted(entry for entry in parent.iterdir() if _from_name(entry) and entry.is_dir())


def _has_pictures(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(PICTURE_SUFFIXES) for entry in entries)


def _data_of(dataset: Any) -> Any:
    """Tables of a dataset that stands in the options or in a file they name."""
    if not isinstance(dataset, str):
        return dataset
    try:
        path = resolve_user_path(dataset, "file")
        return read_json(path) if path.suffix.lower() == ".json" else read_toml(path)
    except UserError:
        # The form shows the path, and the checks say what is wrong with the file.
        return None


def _subset(folder: Path, repeats: int, trigger: str) -> dict[str, Any]:
    subset: dict[str, Any] = {"image_dir": str(folder), "num_repeats": repeats}
    return {**subset, "class_tokens": trigger} if trigger else subset


def _regularization(folder: Path) -> dict[str, Any]:
    return {**_subset(folder, *_usual(folder)), "is_reg": True}


def _usual(folder: Path) -> tuple[int, str]:
    """Repeats and words of a folder whose user gave none."""
    return _from_name(folder) or (DEFAULT_REPEATS, "")


def _from_name(folder: Path) -> tuple[int, str] | None:
    """Repeats and words of `<repeats>_<name>`; None for another name."""
    named = NUMBERED.fullmatch(folder.name)
    return (int(named[1]), named[2].strip()) if named and int(named[1]) >= 1 else None
