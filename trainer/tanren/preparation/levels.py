"""Which pictures a folder means: its own, those of the `<repeats>_<name>` folders in it, or a level below or above."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.listing import picture_suffixes
from ..errors import DataError
from ..options.dataset_folders import NUMBERED

PICTURES, NUMBERED_FOLDER, PARENT, DEEPER, NOTHING = "pictures", "numbered", "parent", "deeper", "nothing"
REGULARIZATION_NAMES = ("reg", "regs", "reg_data", "regularization", "regularisation", "class", "正則化", "正则化")


@dataclass(frozen=True)
class Part:
    """One folder of pictures as training sees it.

    Args:
        folder: where the pictures lie.
        repeats: times a picture counts in an epoch.
        name: what is trained where there is no caption; empty when the folder says nothing.
        pictures: files with the suffix of a picture.
        is_regularization: it lies in a folder that is called so.
    """

    folder: Path
    repeats: int
    name: str
    pictures: int
    is_regularization: bool = False


@dataclass(frozen=True)
class Level:
    """A folder as it is understood.

    Args:
        folder: as it was given.
        kind: PICTURES (they lie in it), NUMBERED_FOLDER (they lie in it, and its name says the repeats), PARENT (of
            numbered folders), DEEPER (the parts were found a level below) or NOTHING.
        parts: the folders of pictures that are meant.
        instead: what has to be given to the trainer as `--train_data_dir`; None when only a dataset file can name it.
        other_parts: numbered folders beside the pictures of a PICTURES folder; they are not meant.
        left_out: folders with pictures whose names do not begin with a number of repeats.
    """

    folder: Path
    kind: str
    parts: tuple[Part, ...]
    instead: Path | None
    other_parts: tuple[Part, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def pictures(self) -> int:
        """Picture files of all parts."""
        return sum(part.pictures for part in self.parts)


def understand(folder: Path) -> Level:
    """Say which pictures are meant by a folder.

    Raises:
        DataError: it cannot be read.
    """
    own, inner = _look(folder)
    numbered = _numbered(folder, inner)
    if own:
        named = NUMBERED.fullmatch(folder.name)
        if named and int(named[1]) > 0 and not numbered:
            part = Part(folder, int(named[1]), named[2].strip(), own, _is_regularization(folder))
            return Level(folder, NUMBERED_FOLDER, (part,), folder.parent)
        part = Part(folder, 1, "", own, _is_regularization(folder))
        return Level(folder, PICTURES, (part,), None, other_parts=numbered)
    if numbered:
        return Level(folder, PARENT, numbered, folder, left_out=_others(inner, numbered))
    return _deeper(folder, inner) or Level(folder, NOTHING, (), None, left_out=_others(inner, ()))


def _deeper(folder: Path, inner: Sequence[Path]) -> Level | None:
    found = []
    for one in inner:
        parts = _numbered(one, _look_quietly(one)[1])
        if parts:
            found.append((one, parts))
    if found:
        instead, parts = found[0]
        # Beside the training pictures there are often regularization pictures; both levels are understood.
        everything = tuple(part for _, each in found for part in each)
        return Level(folder, DEEPER, everything if len(found) > 1 else parts, instead)
    with_pictures = [one for one in inner if _look_quietly(one)[0]]
    if len(with_pictures) == 1:
        (one,) = with_pictures
        return Level(folder, DEEPER, (Part(one, 1, "", _look_quietly(one)[0]),), None)
    return None


def _numbered(folder: Path, inner: Sequence[Path]) -> tuple[Part, ...]:
    is_reg = _is_regularization(folder)
    parts = []
    for one in inner:
        named = NUMBERED.fullmatch(one.name)
        if named and int(named[1]) > 0:
            parts.append(Part(one, int(named[1]), named[2].strip(), _look_quietly(one)[0], is_reg))
    return tuple(parts)


def _others(inner: Sequence[Path], parts: Sequence[Part]) -> tuple[str, ...]:
    known = {part.folder for part in parts}
    return tuple(one.name for one in inner if one not in known and _look_quietly(one)[0])


def _is_regularization(folder: Path) -> bool:
    return folder.name.casefold() in REGULARIZATION_NAMES or folder.parent.name.casefold() in REGULARIZATION_NAMES


def _look_quietly(folder: Path) -> tuple[int, list[Path]]:
    try:
        return _look(folder)
    except DataError:
        # A neighbour that cannot be opened is not one the user meant.
        return 0, []


def _look(folder: Path) -> tuple[int, list[Path]]:
    """Picture files in a folder, and its sub-folders in the order of their names; hidden ones do not count."""
    suffixes = picture_suffixes()
    pictures, inner = 0, []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.lower().endswith(suffixes):
                    pictures += 1
                elif entry.is_dir():
                    inner.append(Path(entry.path))
    except OSError as error:
        raise DataError(
            where=str(folder),
            what=f"The folder cannot be read: {error.strerror or error}.",
            fix="Check the path and its permissions.",
        ) from error
    return pictures, sorted(inner)
