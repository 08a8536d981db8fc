"""Where pictures and their captions come from: folders with caption files, or metadata files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import NamedTuple

from ..errors import DataError, Problems, UsageError
from ..formats.caption_metadata import read_caption_metadata
from ..formats.captions import caption_names, read_caption
from ..options.dataset_plan import METADATA, SubsetPlan
from .listing import Listing, clashes, list_folder, picture_suffixes, some, stem_of
from .records import FROM_FILE, FROM_FOLDER, FROM_METADATA, NO_CAPTION, CaptionCount

CAPTION_SUFFIXES = (".caption", ".txt")


class FoundPicture(NamedTuple):
    """A picture that was listed but not yet opened; fields as in `ImageRecord`."""

    folder: str
    name: str
    caption: str
    caption_source: str
    tags: str | None = None
    mask_path: str | None = None

    @property
    def path(self) -> str:
        """The picture file."""
        return f"{self.folder}{os.sep}{self.name}"


@dataclass
class Finder:
    """Lists one subset and counts how its captions were found.

    Args:
        subset: what was asked for.
        problems: receives problems and warnings.
        roots: only files below these are read, links followed; None: any file.
        captions: how captions were found, complete when all pictures were taken.
        longer_captions: caption files of which only the first line is used.
    """

    subset: SubsetPlan
    problems: Problems
    roots: Sequence[Path] | None = None
    captions: CaptionCount = field(default_factory=CaptionCount)
    longer_captions: list[str] = field(default_factory=list)

    def pictures(self) -> Iterator[FoundPicture]:
        """The subset's pictures in the order of their paths."""
        return self._from_metadata() if self.subset.kind == METADATA else self._from_folder()

    def _from_folder(self) -> Iterator[FoundPicture]:
        folder = self.subset.image_dir or ""
        listing = list_folder(folder, self.problems, self.roots)
        _warn_of_left_out(listing, self.problems)
        for first, second in clashes(listing.pictures):
            self.problems.add(_clash(folder, first, second))
        suffixes = {*CAPTION_SUFFIXES, self.subset.caption_extension}
        for name in listing.pictures:
            stem = stem_of(name)
            for suffix in suffixes:
                if stem + suffix in listing.names:
                    self.captions.by_extension[suffix] += 1
            caption, source = self._caption(listing, stem)
            mask = listing.masks.get(stem)
            found = FoundPicture(folder, name, caption, source, None, f"{folder}{os.sep}{mask}" if mask else None)
            if source != FROM_FILE:
                self.captions.missing.append(found.path)
                if any(stem + suffix in listing.names for suffix in suffixes):
                    self.captions.unread.append(found.path)
            yield found
        _judge_captions(self.subset, listing, self.captions, self.problems)

    def _caption(self, listing: Listing, stem: str) -> tuple[str, str]:
        for candidate in caption_names(stem, self.subset.caption_extension):
            name = listing.find(candidate)
            if name is not None:
                return self._read(listing, name), FROM_FILE
        return (self.subset.class_tokens, FROM_FOLDER) if self.subset.class_tokens else ("", NO_CAPTION)

    def _read(self, listing: Listing, name: str) -> str:
        path = f"{listing.folder}{os.sep}{name}"
        try:
            read = read_caption(path, self.subset.caption_encoding, all_lines=self.subset.enable_wildcard)
        except DataError as problem:
            self.problems.add(problem)
            return ""
        except OSError as error:
            self.problems.add(DataError(where=path, what=f"The caption cannot be read: {error.strerror or error}."))
            return ""
        if read.lines_left_out:
            self.longer_captions.append(name)
        return read.text

    def _from_metadata(self) -> Iterator[FoundPicture]:
        where = self.subset.metadata_file or ""
        try:
            entries = read_caption_metadata(Path(where))
        except DataError as problem:
            self.problems.add(problem)
            return
        missing: list[str] = []
        for named, text in sorted(entries.items()):
            path = _resolve_named(named, self.subset.image_dir, self.roots)
            if path is None:
                missing.append(named)
                continue
            caption = text.joined(self.subset.caption_separator, all_lines=self.subset.enable_wildcard) or ""
            if not self.subset.enable_wildcard:
                caption = caption.split("\n", 1)[0].strip()
            if not caption:
                self.captions.missing.append(path)
            folder, name = os.path.split(path)
            yield FoundPicture(folder, name, caption, FROM_METADATA if caption else NO_CAPTION, text.tags)
        self._judge_metadata(where, len(entries), missing)

    def _judge_metadata(self, where: str, total: int, missing: list[str]) -> None:
        if missing:
            self.problems.add(
                DataError(
                    where=where,
                    what=f"{len(missing)} of {total} pictures are not there: {some(missing)}.",
                    fix="Check image_dir (or --train_data_dir), which relative names are joined to.",
                )
            )
        bare = [PurePath(path).name for path in self.captions.missing]
        if bare:
            what = "1 picture has" if len(bare) == 1 else f"{len(bare)} pictures have"
            self.problems.warn(f"{where}: {what} neither caption nor tags: {some(bare)}.")


def _judge_captions(subset: SubsetPlan, listing: Listing, captions: CaptionCount, problems: Problems) -> None:
    """kohya's users lose most to captions that are not read in silence: refuse the clear case, tell the others."""
    total, missing = len(listing.pictures), len(captions.missing)
    if not missing:
        return
    others = Counter({suffix: n for suffix, n in captions.by_extension.items() if suffix != subset.caption_extension})
    if missing == total and others:
        suffix, count = others.most_common(1)[0]
        problems.add(
            UsageError(
                where=listing.folder,
                what=f"None of the {total} pictures has a {subset.caption_extension} file, but {count} have {suffix}.",
                why="Their captions would not be read, and the folder's text would be trained instead.",
                fix=f"Use --caption_extension={suffix}",
            )
        )
        return
    instead = f"the text {subset.class_tokens!r} is trained" if subset.class_tokens else "their caption is empty"
    names = some([PurePath(path).name for path in captions.missing])
    if missing < total or not subset.class_tokens:
        extension = subset.caption_extension
        problems.warn(f"{listing.folder}: {missing} of {total} pictures have no {extension} file, {instead}: {names}.")


def _warn_of_left_out(listing: Listing, problems: Problems) -> None:
    if listing.not_read:
        problems.warn(f"{listing.folder}: files of these kinds are not read: {some(sorted(listing.not_read))}.")
    if not listing.pictures:
        problems.warn(f"{listing.folder}: there are no pictures in this folder (sub-folders are not searched).")


def _clash(folder: str, first: str, second: str) -> DataError:
    return DataError(
        where=folder,
        what=f"{first} and {second} differ only in their suffix or spelling.",
        why="They would share one caption file.",
        fix="Rename one of them, or remove it.",
    )


def _resolve_named(named: str, image_dir: str | None, roots: Sequence[Path] | None) -> str | None:
    """The picture that a metadata file names; None when it is not there, or not below the roots."""
    bases = [named] if image_dir is None else [str(Path(image_dir, named)), named]
    for base in bases:
        for candidate in (base, *(base + suffix for suffix in picture_suffixes())):
            if (roots is None or _is_below(candidate, roots)) and Path(candidate).is_file():
                return candidate
    return None


def _is_below(path: str, roots: Sequence[Path]) -> bool:
    try:
        resolved = Path(path).resolve()
        return any(resolved.is_relative_to(root.resolve()) for root in roots)
    except (OSError, RuntimeError):
        # Python 3.12 and older raise RuntimeError for links that form a circle.
        return False
