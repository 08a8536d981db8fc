"""Folders named `<repeats>_<name>` below --train_data_dir and --reg_data_dir.

The parent is what has to be named; the folder itself, or a folder too high, is the most common mistake of all, so it is
recognised and the right folder is offered.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from ..errors import DataError, Problems, UsageError, UserError
from ..paths import ANYWHERE, PathPolicy, resolve_user_path
from .dataset import DatasetOptions
from .dataset_plan import DREAMBOOTH, SubsetPlan
from .dataset_resolve import subset_defaults

# Enough to tell that a folder was meant to hold pictures; the scan decides by content.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl")
NAMES_SHOWN = 5
NUMBERED = re.compile(r"(-?\d+)_(.*)", re.DOTALL)


class WrongFolderError(DataError):
    """A folder of the wrong level was named.

    Args:
        option: the option it was given to.
        instead: the folder that was probably meant, or None.
        pictures: the folder in which pictures were found, for whoever can take it as it is; None where there is none.
    """

    def __init__(
        self, option: str, what: str, fix: str, instead: Path | None = None, pictures: Path | None = None
    ) -> None:
        super().__init__(where=f"--{option}", what=what, fix=fix)
        self.option, self.instead, self.pictures = option, instead, pictures

    def as_dict(self) -> dict[str, object]:
        """With the folder that was probably meant."""
        return {**super().as_dict(), "instead": str(self.instead) if self.instead else None}


def folder_subsets(options: DatasetOptions, problems: Problems, policy: PathPolicy = ANYWHERE) -> list[SubsetPlan]:
    """One subset per `<repeats>_<name>` folder, in the order of their names."""
    if not options.train_data_dir:
        problems.add(
            UsageError(
                where="--train_data_dir",
                what="No pictures were named.",
                fix="Add --train_data_dir=FOLDER, the parent of a folder such as 10_name, or --dataset_config=FILE.",
            )
        )
        return []
    found = _subsets_below("train_data_dir", options.train_data_dir, options, problems, policy, is_reg=False)
    if options.reg_data_dir:
        found += _subsets_below("reg_data_dir", options.reg_data_dir, options, problems, policy, is_reg=True)
    return found


def check_holds_pictures(option: str, folder: Path) -> None:
    """Refuse a parent of folders with pictures where the pictures themselves are asked for.

    Raises:
        WrongFolderError: there are no pictures in it; the folder that was probably meant is named.
    """
    if _has_pictures(folder):
        return
    inner = [one for one in _folders_in(folder) if _has_pictures(one)]
    if inner:
        what = f"There are no pictures in {folder} itself, but in {inner[0].name} inside it."
        raise WrongFolderError(option, what, f"Give that one: --{option}={inner[0]}", inner[0])
    raise WrongFolderError(option, f"There are no pictures in {folder}.", "Name the folder that holds them.")


def _subsets_below(
    option: str, text: str, options: DatasetOptions, problems: Problems, policy: PathPolicy, *, is_reg: bool
) -> list[SubsetPlan]:
    try:
        parent = resolve_user_path(text, "folder", where=f"--{option}", policy=policy)
    except UserError as problem:
        problems.add(problem)
        return []
    defaults = subset_defaults(options)
    subsets = []
    others = []
    for folder in _folders_in(parent):
        named = NUMBERED.fullmatch(folder.name)
        if named is None or int(named[1]) < 1:
            others.append(folder.name)
        else:
            subsets.append(_subset(folder, int(named[1]), named[2], defaults, is_reg=is_reg))
    if not subsets:
        problems.add(_wrong_level(option, parent))
    elif others:
        names = ", ".join(others[:NAMES_SHOWN]) + (" …" if len(others) > NAMES_SHOWN else "")
        problems.warn(f"{parent}: {names}: left out, the name does not begin with a number of repeats, as in 10_name.")
    return subsets


def _subset(folder: Path, repeats: int, name: str, defaults: dict[str, Any], *, is_reg: bool) -> SubsetPlan:
    return SubsetPlan(
        kind=DREAMBOOTH,
        image_dir=str(folder),
        where=str(folder),
        num_repeats=repeats,
        class_tokens=name.strip() or None,
        is_reg=is_reg,
        **defaults,
    )


def _wrong_level(option: str, folder: Path) -> WrongFolderError:
    has_pictures = _has_pictures(folder)
    if has_pictures and NUMBERED.fullmatch(folder.name):
        return WrongFolderError(
            option,
            f"{folder} is the {folder.name} folder itself.",
            f"Give its parent: --{option}={folder.parent}",
            folder.parent,
        )
    if has_pictures:
        return WrongFolderError(
            option,
            f"The pictures lie directly in {folder}.",
            f"Move them into {folder / '10_name'} (10 repeats per epoch, any name) and keep --{option} as it is.",
        )
    inner_folders = _folders_in(folder)
    for inner in inner_folders:
        if any(NUMBERED.fullmatch(deeper.name) for deeper in _folders_in(inner)):
            return WrongFolderError(
                option,
                f"The <repeats>_<name> folders lie one level deeper, in {inner}.",
                f"Give that one: --{option}={inner}",
                inner,
            )
    if len(inner_folders) == 1 and _has_pictures(inner_folders[0]):
        (inner,) = inner_folders
        return WrongFolderError(
            option,
            f"The pictures lie in {inner}, whose name does not begin with a number of repeats.",
            f"Rename it to {inner.with_name(f'10_{inner.name}')} (10 repeats per epoch) and keep --{option} as it is.",
            pictures=inner,
        )
    return WrongFolderError(
        option,
        f"No pictures were found in {folder}: it has no folder named <repeats>_<name>.",
        f"Make a folder such as {folder / '10_name'} with the pictures in it.",
    )


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        # A neighbour that cannot be opened is not one the user meant.
        return []


def _has_pictures(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.lower().endswith(PICTURE_SUFFIXES) for entry in entries)
    except OSError:
        return False
