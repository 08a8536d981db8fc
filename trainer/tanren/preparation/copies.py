"""Copies of many pictures in another folder, each changed in the same way; captions go with them.

Nothing is overwritten: what is there already is left alone, so that an interrupted run can simply be started again.
All copies of one run are undone together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from ..data.listing import folded, list_folder, stem_of
from ..errors import Problems, UsageError, UserError
from ..formats.picture_header import read_header
from ..formats.picture_pixels import open_upright
from .index import captions_beside, usual_suffix
from .journal import Journal, Recorder
from .levels import Level, Part
from .pixels import FORMATS, SUFFIX_OF, Change, Encoding, encoded, in_eight_bits

SAME = "same"


@dataclass(frozen=True)
class Copy:
    """One copy to be made.

    Args:
        picture: the picture file.
        target: the new file.
        caption, caption_target: its caption file and that of the copy; None: no caption goes with it.
    """

    picture: Path
    target: Path
    caption: Path | None = None
    caption_target: Path | None = None


@dataclass
class CopyOutcome:
    """What became of the copies.

    Args:
        made: new pictures.
        there: targets that were there already and were left alone.
        problems: pictures of which no copy could be made.
    """

    made: list[Path] = field(default_factory=list)
    there: list[Path] = field(default_factory=list)
    problems: list[UserError] = field(default_factory=list)


def plan_copies(
    level: Level, out: Path, *, format_name: str, with_captions: bool, suffix: str | None = None
) -> list[Copy]:
    """Say which copies would be made.

    Args:
        level: of which pictures.
        out: the folder for them; folders of several parts keep their names in it.
        format_name: a key of FORMATS, or SAME: as it is, where that can be written, else PNG.
        with_captions: captions are copied, byte for byte.
        suffix: of the caption that is copied where a picture has several; None: what each folder uses most.

    Raises:
        UsageError: the folder is that of the pictures, or two copies would have the same name.
    """
    copies = [
        copy
        for part in level.parts
        for copy in _copies(part, _out(level, part, out), format_name, with_captions, suffix)
    ]
    seen: dict[str, Copy] = {}
    for copy in copies:
        other = seen.setdefault(folded(str(copy.target)), copy)
        if other is not copy:
            raise UsageError(
                where=str(out),
                what=f"{other.picture.name} and {copy.picture.name} would both become {copy.target.name}.",
                fix="Rename one of them first.",
            )
    return copies


def make_copies(
    copies: Sequence[Copy],
    change: Callable[[Image.Image, Path], Image.Image],
    journal: Journal,
    *,
    title: str,
    out: Path,
    quality: int = 95,
    progress: Callable[[int, int], None] = lambda done, total: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> CopyOutcome:
    """Make copies of pictures.

    Args:
        copies: as planned.
        change: from the upright 8-bit picture and its file to what is written.
        journal: writes them down.
        title: for the journal.
        out: the folder they are in.
        quality: of JPEG and WebP.
        progress: told (done, total) after each.
        should_stop: asked before each; what was made until then stays.

    Raises:
        StorageError: the disk refuses; what was made until then stays and can be undone.
    """
    outcome = CopyOutcome()
    with journal.operation(title, out) as recorder:
        for number, copy in enumerate(copies, 1):
            if should_stop():
                break
            _make(copy, change, quality, recorder, outcome)
            progress(number, len(copies))
    return outcome


def alone(change: Change) -> Callable[[Image.Image, Path], Image.Image]:
    """A change that does not ask for the file."""
    return lambda image, _: change(image)


def _make(
    copy: Copy,
    change: Callable[[Image.Image, Path], Image.Image],
    quality: int,
    recorder: Recorder,
    outcome: CopyOutcome,
) -> None:
    if os.path.lexists(copy.target):
        outcome.there.append(copy.target)
        return
    try:
        image = change(in_eight_bits(open_upright(str(copy.picture))), copy.picture)
        data = encoded(image, Encoding(format_of(copy.target), quality))
    except UserError as problem:
        problem.where = copy.picture.name if problem.where in ("", "mask") else problem.where
        outcome.problems.append(problem)
        return
    except OSError as error:
        text = f"It cannot be read: {error.strerror or error}."
        outcome.problems.append(UsageError(where=str(copy.picture), what=text))
        return
    recorder.make_folder(copy.target.parent)
    recorder.create(copy.target, _writer(data), expected_bytes=len(data))
    if copy.caption is not None and copy.caption_target is not None and not os.path.lexists(copy.caption_target):
        recorder.create(copy.caption_target, _writer(copy.caption.read_bytes()))
    outcome.made.append(copy.target)


def format_of(path: Path) -> str:
    """Pillow's format for a file that we write."""
    return next(name for name, suffix in SUFFIX_OF.items() if suffix == path.suffix)


def _copies(part: Part, out: Path, format_name: str, with_captions: bool, suffix: str | None) -> Iterator[Copy]:
    listing = list_folder(str(part.folder), Problems())
    first = suffix or usual_suffix(listing)
    for name in listing.pictures:
        stem = stem_of(name)
        target = out / (stem + _suffix(part.folder / name, format_name))
        beside = captions_beside(listing, name, first) if with_captions else []
        if beside:
            caption = part.folder / beside[0]
            yield Copy(part.folder / name, target, caption, out / (stem + caption.suffix))
        else:
            yield Copy(part.folder / name, target)


def _suffix(picture: Path, format_name: str) -> str:
    if format_name != SAME:
        return SUFFIX_OF[FORMATS[format_name]]
    try:
        return SUFFIX_OF.get(read_header(str(picture)).format, ".png")
    except (UserError, OSError):
        # The copy of a picture that cannot be read is never made; its name does not matter.
        return ".png"


def _out(level: Level, part: Part, out: Path) -> Path:
    if out.resolve() == part.folder.resolve():
        raise UsageError(
            where=str(out), what="The copies would lie among the pictures themselves.", fix="Give another folder."
        )
    return out / part.folder.name if len(level.parts) > 1 else out


def _writer(data: bytes) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(data)

    return write
