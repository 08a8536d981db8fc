"""What a folder of pictures holds, counted while its rows pass by; nothing but names and counts stays in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..data.buckets import Size
from ..data.listing import Listing, clashes, list_folder
from ..data.twins import sample_digest
from ..errors import Problems
from ..formats.clip_tokens import WINDOWS
from .caption_files import AUTO
from .facts import PictureFacts
from .fitting import Crop
from .index import PictureIndex, Wanted, usual_suffix
from .levels import Level, Part
from .lookalikes import MOST_DIFFERING, near_groups
from .tags import split_tags

NAMES_KEPT = 200
TINY = 256


@dataclass
class Names:
    """How many pictures have something in common, and the first of them."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < NAMES_KEPT:
            self.first.append(name)


@dataclass(frozen=True)
class Questions:
    """What is looked for.

    Args:
        suffix: of captions, such as `.txt`; None: what the folder uses most.
        trigger: a word or words that every caption should have; empty: the folder's own name for the concept.
        tiny: pictures whose shorter side has fewer pixels are named.
        encoding: of captions that are not in UTF-8 (caption_files.py).
        crop: from size to bucket (fitting.py); None: buckets are not asked for.
        near: bits in which pictures that look alike may differ.
    """

    suffix: str | None = None
    trigger: str = ""
    tiny: int = TINY
    encoding: str = AUTO
    crop: Callable[[Size], Crop] | None = None
    near: int = MOST_DIFFERING


@dataclass
class Captions:
    """What the captions of the pictures have in common.

    Args:
        by_suffix: caption files found, by suffix, whether they are used or not.
        filled: pictures with a caption that says something.
        missing: pictures without a caption file.
        empty: those whose file says nothing.
        unreadable: those whose file cannot be read.
        guessed: those whose file is not in UTF-8; training refuses it until it is converted.
        encodings: how many of these were read in which encoding.
        several_lines: those whose file has lines that training leaves out, unless wildcards are on.
        shared: those with several caption files, of which one is used.
        lengths: captions by the window they need, 75, 150, 225 or 0 for more; in tokens of CLIP.
        too_long: pictures whose caption needs more than the first window.
        longest: tokens of the longest caption.
        trigger: what was looked for.
        with_trigger, trigger_first: captions that have it, and those that begin with it.
        without_trigger: pictures whose caption lacks it.
        tags: how often each tag stands in a caption.
    """

    by_suffix: Counter[str] = field(default_factory=Counter)
    filled: int = 0
    missing: Names = field(default_factory=Names)
    empty: Names = field(default_factory=Names)
    unreadable: Names = field(default_factory=Names)
    guessed: Names = field(default_factory=Names)
    encodings: Counter[str] = field(default_factory=Counter)
    several_lines: Names = field(default_factory=Names)
    shared: Names = field(default_factory=Names)
    lengths: Counter[int] = field(default_factory=Counter)
    too_long: Names = field(default_factory=Names)
    longest: int = 0
    trigger: str = ""
    with_trigger: int = 0
    trigger_first: int = 0
    without_trigger: Names = field(default_factory=Names)
    tags: Counter[str] = field(default_factory=Counter)

    def add(self, row: PictureFacts, trigger: str) -> None:
        """Count one picture's caption; `trigger` is that of its folder."""
        caption = row.caption
        names = [name for name in (caption.name, *caption.others) if name]
        self.by_suffix.update(f".{name.rpartition('.')[2].lower()}" for name in names)
        if len(names) > 1:
            self.shared.add(row.name)
        if not caption.name:
            self.missing.add(row.name)
        elif caption.problem:
            self.unreadable.add(row.name)
        elif not caption.is_filled:
            self.empty.add(row.name)
        else:
            self._add_filled(row, trigger)

    def _add_filled(self, row: PictureFacts, trigger: str) -> None:
        caption = row.caption
        self.filled += 1
        if not caption.encoding.startswith("utf-8"):
            self.guessed.add(row.name)
            self.encodings[caption.encoding] += 1
        if caption.lines > 1:
            self.several_lines.add(row.name)
        window = next((window for window in WINDOWS if caption.tokens <= window), 0)
        self.lengths[window] += 1
        self.longest = max(self.longest, caption.tokens)
        if window != WINDOWS[0]:
            self.too_long.add(row.name)
        self.tags.update(dict.fromkeys(split_tags(caption.text)).keys())
        if trigger:
            self.trigger_first += has_trigger(caption.text, trigger, first=True)
            if has_trigger(caption.text, trigger):
                self.with_trigger += 1
            else:
                self.without_trigger.add(row.name)


@dataclass
class Overview:
    """All pictures of a folder as it is understood.

    Args:
        level: how the folder was understood.
        pictures: picture files.
        file_bytes: of all of them.
        captions: see there.
        unusable: pictures that cannot be read, or are too large; `faults` says why.
        tiny, transparent, rotated, animated, other_suffix: pictures with these oddities, which are used all the same.
        decoded: pictures that were decoded; only those can be called transparent or alike for certain.
        buckets: pictures of each trained size, repeats counted.
        enlarged: pictures with fewer pixels than are trained.
        unfitting: pictures too small for any bucket.
        clashes: pictures that share their caption file, because only their suffixes differ.
        duplicates, lookalikes: groups of the same picture.
        warnings: links that lead nowhere and the like.
    """

    level: Level
    pictures: int = 0
    file_bytes: int = 0
    captions: Captions = field(default_factory=Captions)
    unusable: Names = field(default_factory=Names)
    faults: dict[str, str] = field(default_factory=dict)
    tiny: Names = field(default_factory=Names)
    transparent: Names = field(default_factory=Names)
    rotated: Names = field(default_factory=Names)
    animated: Names = field(default_factory=Names)
    other_suffix: Names = field(default_factory=Names)
    decoded: int = 0
    buckets: Counter[Size] = field(default_factory=Counter)
    enlarged: Names = field(default_factory=Names)
    unfitting: Names = field(default_factory=Names)
    clashes: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    lookalikes: list[list[str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Survey:
    """One walk over the pictures of a level: rows to show at once, and the overview when they have all passed."""

    def __init__(self, level: Level, index: PictureIndex, questions: Questions, wanted: Wanted) -> None:
        self.overview = Overview(level)
        self._index, self._questions, self._wanted = index, questions, wanted
        self._sizes: dict[int, list[str]] = {}
        self._looks: list[tuple[str, str]] = []

    def rows(self) -> Iterator[PictureFacts]:
        """Every picture, counted as it passes; afterwards `overview` is complete."""
        for part in self.overview.level.parts:
            yield from self._rows_of(part)
        self.overview.duplicates = _same_content(self._sizes)
        same = {name for group in self.overview.duplicates for name in group[1:]}
        different = [one for one in self._looks if one[0] not in same]
        self.overview.lookalikes = near_groups(different, self._questions.near)

    def count(self, rows: Iterable[PictureFacts], known: Overview) -> Overview:
        """The overview of rows that passed before, of which some have other captions now; nothing is read.

        Args:
            rows: all pictures of the level.
            known: what was found then; clashes, groups of the same picture and warnings are taken from it.
        """
        parts = {str(part.folder): part for part in self.overview.level.parts}
        for row in rows:
            part = parts[row.folder]
            trigger = self._trigger_of(part)
            self._add(row, part, trigger)
        counted = self.overview
        counted.clashes, counted.warnings = known.clashes, known.warnings
        counted.duplicates, counted.lookalikes = known.duplicates, known.lookalikes
        return counted

    def finish(self) -> Overview:
        """Let all rows pass and return the overview."""
        for _ in self.rows():
            pass
        return self.overview

    def _rows_of(self, part: Part) -> Iterator[PictureFacts]:
        problems = Problems()
        listing = list_folder(str(part.folder), problems)
        self.overview.clashes += clashes(listing.pictures)
        wanted = replace(self._wanted, first_suffix=self._suffix(listing), encoding=self._questions.encoding)
        trigger = self._trigger_of(part)
        for row in self._index.survey(part.folder, wanted, listing=listing):
            self._add(row, part, trigger)
            yield row
        self.overview.warnings += [*problems.warnings, *map(str, problems.errors)]

    def _trigger_of(self, part: Part) -> str:
        """What its captions should have; the first part's is that of the whole overview."""
        trigger = self._questions.trigger or part.name
        self.overview.captions.trigger = self.overview.captions.trigger or trigger
        return trigger

    def _suffix(self, listing: Listing) -> str:
        return self._questions.suffix or usual_suffix(listing)

    def _add(self, row: PictureFacts, part: Part, trigger: str) -> None:
        overview = self.overview
        overview.pictures += 1
        overview.file_bytes += row.file_bytes
        overview.captions.add(row, trigger)
        if row.fault:
            overview.unusable.add(row.name)
            if len(overview.faults) < NAMES_KEPT:
                overview.faults[row.name] = row.fault
            return
        oddities = (
            (min(row.width, row.height) < self._questions.tiny, overview.tiny),
            (row.is_transparent, overview.transparent),
            (row.is_rotated, overview.rotated),
            (row.is_animated, overview.animated),
            (row.has_other_suffix, overview.other_suffix),
        )
        for is_so, names in oddities:
            if is_so:
                names.add(row.name)
        self._sizes.setdefault(row.file_bytes, []).append(row.path)
        if row.look is not None:
            overview.decoded += 1
            self._looks.append((row.path, row.look.look))
        if self._questions.crop is not None:
            self._add_crop(self._questions.crop((row.width, row.height)), row, part)

    def _add_crop(self, crop: Crop, row: PictureFacts, part: Part) -> None:
        if min(crop.bucket_wh) < 1:
            self.overview.unfitting.add(row.name)
            return
        self.overview.buckets[crop.bucket_wh] += part.repeats
        if crop.is_enlarged:
            self.overview.enlarged.add(row.name)


def has_trigger(text: str, trigger: str, *, first: bool = False) -> bool:
    """True when a caption has the trigger words as a tag or among its words; with `first`, at its beginning."""
    low, wanted = text.casefold(), trigger.casefold().strip()
    if first:
        return low.startswith(wanted) and not low[len(wanted) : len(wanted) + 1].isalnum()
    place = low.find(wanted)
    while place >= 0:
        before, after = low[place - 1 : place], low[place + len(wanted) : place + len(wanted) + 1]
        # Words of Latin letters end at a letter; Japanese and Chinese write no spaces, so a tag counts anywhere there.
        if not wanted.isascii() or not (before.isalnum() or after.isalnum()):
            return True
        place = low.find(wanted, place + 1)
    return False


def _same_content(sizes: dict[int, list[str]]) -> list[list[str]]:
    """Groups of files with the same size, beginning and end."""
    groups: list[list[str]] = []
    for paths in sizes.values():
        if len(paths) > 1:
            found: dict[bytes, list[str]] = {}
            for path in paths:
                found.setdefault(sample_digest(path), []).append(path)
            groups += [group for group in found.values() if len(group) > 1]
    return groups


def cache_folder(data: Path) -> Path:
    """Where the index of a data folder lies."""
    return data / "cache"
