"""Changing many captions: first a plan that can be shown, then, when it is wanted, the change itself.

The plan holds each caption as it was read and as it would become; making it touches nothing. Carrying it out writes
through the journal, and refuses when a file is no longer as it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.listing import Listing, folded, list_folder, stem_of
from ..errors import Problems, UsageError
from .caption_files import AUTO, UTF8, CaptionFile, encoded, read_caption_file
from .index import captions_beside, usual_suffix
from .journal import Journal, Write
from .levels import Level, Part
from .patterns import replaced_everywhere
from .tag_filter import TagFilter
from .tags import MODES, LineOperation, combined, on_every_line, split_tags

# From all captions to all captions, because some operations are quicker together.
Operation = Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class PictureCaption:
    """A picture and its caption.

    Args:
        picture: the picture file.
        target: the caption file, there or not.
        file: what it holds; None when it is not there.
        part: the folder of pictures it belongs to.
    """

    picture: Path
    target: Path
    file: CaptionFile | None
    part: Part

    @property
    def text(self) -> str:
        """The caption; empty when there is none."""
        return self.file.text if self.file is not None else ""

    @property
    def problem(self) -> str:
        """Why the caption cannot be changed; empty when it can."""
        return self.file.problem if self.file is not None else ""


@dataclass(frozen=True)
class CaptionChange:
    """One caption before and after; `after` is what will be in the file."""

    caption: PictureCaption
    after: str

    @property
    def is_new(self) -> bool:
        """True when the caption file will be made."""
        return self.caption.file is None

    @property
    def is_converted(self) -> bool:
        """True when the file was not in plain UTF-8 and will be."""
        return self.caption.file is not None and self.caption.file.encoding != UTF8


@dataclass(frozen=True)
class CaptionPlan:
    """What would be changed.

    Args:
        title: what is done, for the journal.
        folder: what it is done to.
        changes: one for each caption file that would be another.
        unchanged: captions that would stay as they are, those the filter left out among them.
        unreadable: caption files that are left alone because they cannot be read.
        without_file: those of the unchanged that have no caption file, and get none.
    """

    title: str
    folder: Path
    changes: tuple[CaptionChange, ...]
    unchanged: int
    unreadable: tuple[PictureCaption, ...]
    without_file: int = 0

    @property
    def emptied(self) -> list[CaptionChange]:
        """Captions that would say nothing; training refuses those."""
        return [change for change in self.changes if not change.after.strip()]


def captions_of(
    level: Level, suffix: str | None = None, problems: Problems | None = None, *, encoding: str = AUTO
) -> Iterator[PictureCaption]:
    """The captions of a level's pictures, in their order; a file that several pictures share comes once.

    Args:
        level: which pictures.
        suffix: of the caption files that go before others, and of new ones; None: what each folder uses most.
        problems: told about links that lead nowhere and the like.
        encoding: of files that are not in UTF-8 (caption_files.py).
    """
    for part in level.parts:
        listing = list_folder(str(part.folder), problems or Problems())
        first = suffix or usual_suffix(listing)
        seen: set[str] = set()
        for name in listing.pictures:
            target = _target(listing, name, first)
            if target in seen:
                continue
            seen.add(target)
            yield _picture_caption(part, listing, name, target, encoding)


def caption_of(level: Level, picture: Path, suffix: str | None = None, *, encoding: str = AUTO) -> PictureCaption:
    """The caption of one picture; no other is read.

    Raises:
        UsageError: it is none of the level's pictures, or another picture's caption file serves it, too.
    """
    part = next((part for part in level.parts if part.folder == picture.parent), None)
    if part is None:
        raise UsageError(where=picture.name, what="There is no such picture in this folder.")
    listing = list_folder(str(part.folder), Problems())
    first = suffix or usual_suffix(listing)
    target = _target(listing, picture.name, first)
    beginning = folded(stem_of(target))
    for other in listing.pictures:
        if other == picture.name:
            break
        # Whoever shares the file has a name that begins as the file's does.
        if folded(other).startswith(beginning) and _target(listing, other, first) == target:
            raise UsageError(
                where=picture.name,
                what="Another picture of the same name uses this caption file.",
                fix="Rename one of the two pictures.",
            )
    return _picture_caption(part, listing, picture.name, target, encoding)


def plan_edit(
    level: Level,
    captions: Iterable[PictureCaption],
    title: str,
    operations: Sequence[Operation],
    *,
    only: TagFilter | None = None,
    creates: bool = False,
    to_utf8: bool = False,
) -> CaptionPlan:
    """Say what operations would make of captions.

    Args:
        level: whose captions they are.
        captions: as `captions_of` gives them.
        title: for the journal.
        operations: done one after the other.
        only: captions that are meant; the others stay.
        creates: also make captions for pictures that have none.
        to_utf8: also rewrite files that are in another encoding or have a byte order mark.
    """
    wanted, others, unreadable = [], 0, []
    without_file = 0
    for caption in captions:
        if caption.problem:
            unreadable.append(caption)
        elif (caption.file is None and not creates) or (only and not only.matches(split_tags(caption.text))):
            others += 1
            without_file += caption.file is None
        else:
            wanted.append(caption)
    texts = [caption.text for caption in wanted]
    for operation in operations:
        texts = operation(texts)
    planned = [CaptionChange(caption, after) for caption, after in zip(wanted, texts, strict=True)]
    changes = [one for one in planned if one.after != one.caption.text or (to_utf8 and one.is_converted)]
    unchanged = others + len(wanted) - len(changes)
    return CaptionPlan(title, level.folder, tuple(changes), unchanged, tuple(unreadable), without_file)


def plan_texts(
    level: Level, captions: Iterable[PictureCaption], title: str, texts: Mapping[Path, str], mode: str
) -> CaptionPlan:
    """Say what new texts for pictures, from a tagger or from their metadata, would make of their captions.

    Args:
        level: whose captions they are.
        captions: as `captions_of` gives them.
        title: for the journal.
        texts: picture file to its text; pictures without one keep their captions.
        mode: one of MODES (tags.py).

    Raises:
        UsageError: there is no such mode.
    """
    if mode not in MODES:
        raise UsageError(where="mode", what=f"{mode!r} is not known.", fix=f"Choose one of {', '.join(MODES)}.")
    changes, unchanged, unreadable = [], 0, []
    for caption in captions:
        text = texts.get(caption.picture, "")
        if caption.problem:
            unreadable.append(caption)
            continue
        after = combined(caption.text, text, mode)
        if after == caption.text:
            unchanged += 1
        else:
            changes.append(CaptionChange(caption, after))
    return CaptionPlan(title, level.folder, tuple(changes), unchanged, tuple(unreadable))


def carry_out(plan: CaptionPlan, journal: Journal) -> int:
    """Make the changes of a plan; they are undone together. Returns how many files were written.

    Raises:
        DataError: a caption was changed meanwhile, or cannot be written.
        StorageError: the disk refuses.
    """
    writes = [
        Write(
            change.caption.target,
            encoded(change.after),
            change.caption.file.data if change.caption.file is not None else None,
        )
        for change in plan.changes
    ]
    if writes:
        with journal.operation(plan.title, plan.folder) as recorder:
            recorder.write_all(writes)
    return len(writes)


def per_line(operation: LineOperation) -> Operation:
    """An operation on lines (tags.py) as one on captions."""
    return lambda texts: [on_every_line(text, operation) for text in texts]


def matching(pattern: str, new: str, *, ignore_case: bool = False) -> Operation:
    """Find and replace with a regular expression, over whole captions (patterns.py)."""
    return lambda texts: replaced_everywhere(texts, pattern, new, ignore_case=ignore_case)


def _target(listing: Listing, name: str, first_suffix: str) -> str:
    """The caption file of a picture, there or not."""
    found = captions_beside(listing, name, first_suffix)
    return found[0] if found else stem_of(name) + first_suffix


def _picture_caption(part: Part, listing: Listing, name: str, target: str, encoding: str) -> PictureCaption:
    path = part.folder / target
    file = _read(path, encoding) if target in listing.names else None
    return PictureCaption(part.folder / name, path, file, part)


def _read(path: Path, encoding: str) -> CaptionFile:
    try:
        return read_caption_file(path, encoding)
    except OSError as error:
        return CaptionFile(path, b"", "", UTF8, f"it cannot be read: {error.strerror or error}")
