"""What lies in a folder of pictures: the pictures, the names beside them, and what was left out and why."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError, Problems
from ..formats.picture_header import SUFFIXES, readable_formats

# Upstream reads no GIF, TIFF or HEIC files; leaving them out in silence would be a trap.
PICTURES_NOT_READ = (".gif", ".tif", ".tiff", ".heic", ".heif", ".psd", ".svg", ".avif", ".jxl")
MASK_LABELS = ("-masklabel", "-condlabel")
NAMES_SHOWN = 5


@dataclass
class Listing:
    """One folder, not its sub-folders.

    Args:
        folder: as the user gave it.
        pictures: names of picture files, sorted.
        names: names of all other files, for captions.
        masks: stem of a picture to the name of the mask that lies beside it as `<stem>-masklabel.png`.
        not_read: pictures of kinds that are not read.
    """

    folder: str
    pictures: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    masks: dict[str, str] = field(default_factory=dict)
    not_read: list[str] = field(default_factory=list)
    _folded: dict[str, str] | None = None

    def find(self, name: str) -> str | None:
        """The file of this name as it is spelt on the disk; composed and decomposed letters and cases are the same."""
        if name in self.names:
            return name
        if self._folded is None:
            self._folded = {folded(known): known for known in sorted(self.names)}
        return self._folded.get(folded(name))


def list_folder(folder: str, problems: Problems, roots: Sequence[Path] | None = None) -> Listing:
    """List a folder of pictures.

    Args:
        folder: the folder.
        problems: a folder that cannot be read, and links that lead nowhere, are told here.
        roots: symbolic links are followed only to files below these; None: to any file.
    """
    listing = Listing(folder)
    suffixes = picture_suffixes()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                _sort_in(listing, entry, suffixes, roots, problems)
    except OSError as error:
        problems.add(
            DataError(
                where=folder,
                what=f"The folder cannot be read: {error.strerror or error}.",
                fix="Check the path and its permissions.",
            )
        )
    listing.pictures.sort()
    _set_masks_apart(listing)
    return listing


def picture_suffixes() -> tuple[str, ...]:
    """Lower-case suffixes of the pictures that training reads."""
    return tuple(suffix for name in readable_formats() if name != "GIF" for suffix in SUFFIXES[name])


def folded(name: str) -> str:
    """A name as file systems that ignore case and composition see it."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def clashes(names: Sequence[str]) -> list[tuple[str, str]]:
    """Pictures that differ only in suffix, case or composition, and so would share one caption file."""
    seen: dict[str, str] = {}
    found = []
    for name in names:
        key = folded(stem_of(name))
        if key in seen:
            found.append((seen[key], name))
        else:
            seen[key] = name
    return found


def stem_of(name: str) -> str:
    """A file name without its last suffix."""
    return name.rpartition(".")[0]


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown} and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else shown


def _sort_in(
    listing: Listing,
    entry: os.DirEntry[str],
    suffixes: tuple[str, ...],
    roots: Sequence[Path] | None,
    problems: Problems,
) -> None:
    name = entry.name
    if name.startswith("."):
        return
    lower = name.lower()
    if not lower.endswith(suffixes):
        if lower.endswith(PICTURES_NOT_READ):
            listing.not_read.append(name)
        listing.names.add(name)
        return
    if entry.is_symlink() and (reason := _why_not_followed(Path(entry.path), roots)):
        problems.warn(f"{entry.path}: left out, {reason}")
    elif not entry.is_dir():
        listing.pictures.append(name)


def _why_not_followed(link: Path, roots: Sequence[Path] | None) -> str:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        # Python 3.12 and older raise RuntimeError for links that form a circle.
        return "the link leads nowhere."
    if roots is not None and not any(target.is_relative_to(root.resolve()) for root in roots):
        return f"the link leads to {target}, outside the folders that may be read."
    return ""


def _set_masks_apart(listing: Listing) -> None:
    labels = [name for name in listing.pictures if stem_of(name).lower().endswith(MASK_LABELS)]
    if not labels:
        return
    stems = {stem_of(name) for name in listing.pictures}
    for name in labels:
        base, _, label = stem_of(name).rpartition("-")
        if base in stems:
            listing.pictures.remove(name)
            if label.lower() == "masklabel":
                listing.masks[base] = name
