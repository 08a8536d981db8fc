"""The pictures of folders with what is known of them, kept in a file, so that the second look is quick.

A row is used again as long as size and time of the picture and its caption stay the same; one that cannot be
understood is read from the picture again. Rows are given out while they are read, a few hundred in memory at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..data.listing import Listing, list_folder, stem_of
from ..errors import Problems
from .caption_files import AUTO
from .facts import (
    CaptionFacts,
    LookFacts,
    PictureFacts,
    caption_facts,
    caption_names_of,
    header_facts,
    look_facts,
)
from .index_file import IndexFile, Kept, key_of

NAME = "pictures.sqlite"
AT_ONCE, DECODED_AT_ONCE = 500, 25


@dataclass(frozen=True)
class Wanted:
    """How a folder is looked at.

    Args:
        first_suffix: of captions; it goes before the others where a picture has several.
        encoding: of captions that are not in UTF-8.
        decode: also decode the pictures, which takes a thousand times as long the first time.
        should_stop: asked before each picture.
    """

    first_suffix: str = ".txt"
    encoding: str = AUTO
    decode: bool = False
    should_stop: Callable[[], bool] = lambda: False


class PictureIndex:
    """Rows of pictures by folder and name."""

    def __init__(self, cache: Path) -> None:
        """Open the index in a cache folder; nothing is read yet."""
        self._file = cache / NAME

    def survey(
        self, folder: Path, wanted: Wanted, problems: Problems | None = None, listing: Listing | None = None
    ) -> Iterator[PictureFacts]:
        """The pictures of one folder in the order of their names; the index is brought up to date on the way.

        Args:
            folder: looked at without its sub-folders.
            wanted: what is to be known.
            problems: told about links that lead nowhere and the like.
            listing: of the folder, when it was listed just now.
        """
        listing = listing or list_folder(str(folder), problems or Problems())
        names = sorted(listing.pictures, key=key_of)
        size = DECODED_AT_ONCE if wanted.decode else AT_ONCE
        with contextlib.closing(IndexFile(self._file)) as kept:
            for start in range(0, len(names), size):
                fresh: list[Kept] = []
                try:
                    yield from _surveyed(kept, listing, names[start : start + size], wanted, fresh)
                finally:
                    kept.put(str(folder), fresh)
                if wanted.should_stop():
                    return
            kept.forget_others(str(folder), names)


def usual_suffix(listing: Listing) -> str:
    """The suffix that most caption files of a folder have; `.txt` where there are none."""
    counts = {suffix: sum(name.lower().endswith(suffix) for name in listing.names) for suffix in (".txt", ".caption")}
    return ".caption" if counts[".caption"] > counts[".txt"] else ".txt"


def _surveyed(
    kept: IndexFile, listing: Listing, names: Sequence[str], wanted: Wanted, fresh: list[Kept]
) -> Iterator[PictureFacts]:
    """The rows of some names; those that are new or changed are put into `fresh`."""
    known = kept.known(listing.folder, names)
    for name in names:
        if wanted.should_stop():
            return
        try:
            status = os.stat(f"{listing.folder}{os.sep}{name}")  # noqa: PTH116 (a Path each is half of the time)
        except OSError:
            # It vanished between listing and looking.
            continue
        captions = captions_beside(listing, name, wanted.first_suffix)
        marks = (f"{status.st_size}:{status.st_mtime_ns}", _mark(listing.folder, captions, wanted.encoding))
        row, is_new = _row(listing.folder, name, status, captions, marks, known.get(name), wanted.encoding)
        if wanted.decode and row.look is None and not row.problem:
            row, is_new = replace(row, look=look_facts(row.path)), True
        if is_new:
            fresh.append(Kept(name, *marks, _facts_text(row), _look_text(row.look)))
        yield row


def _row(
    folder: str,
    name: str,
    status: os.stat_result,
    captions: Sequence[str],
    marks: tuple[str, str],
    known: Kept | None,
    encoding: str,
) -> tuple[PictureFacts, bool]:
    """The row of a picture, from what is known as far as its marks are the same; and whether anything was read."""
    kept = _understood(folder, known) if known is not None and known.picture == marks[0] else None
    if known is not None and kept is not None and known.caption == marks[1]:
        return kept, False
    others = tuple(captions[1:])
    caption = caption_facts(f"{folder}{os.sep}{captions[0]}", others, encoding) if captions else CaptionFacts()
    if kept is not None:
        return replace(kept, caption=caption), True
    return header_facts(folder, name, status, caption), True


def captions_beside(listing: Listing, name: str, first_suffix: str) -> list[str]:
    """The caption files of a picture, the one that is used first."""
    found = (listing.find(candidate) for candidate in caption_names_of(stem_of(name), first_suffix))
    return list(dict.fromkeys(one for one in found if one is not None))


def _mark(folder: str, captions: Sequence[str], encoding: str) -> str:
    """What a row of a caption holds for: its file as it is, read in an encoding."""
    if not captions:
        return ""
    try:
        status = os.stat(f"{folder}{os.sep}{captions[0]}")  # noqa: PTH116
    except OSError:
        return "|".join(captions)
    return "|".join([*captions, encoding, str(status.st_size), str(status.st_mtime_ns)])


def _facts_text(row: PictureFacts) -> str:
    values = asdict(replace(row, folder="", name="", look=None))
    return json.dumps({key: value for key, value in values.items() if key not in ("folder", "name", "look")})


def _look_text(look: LookFacts | None) -> str | None:
    return None if look is None else json.dumps([look.look, look.is_transparent, look.problem])


def _understood(folder: str, known: Kept) -> PictureFacts | None:
    """The row that was kept; None where that was damaged."""
    try:
        values = json.loads(known.facts)
        # A handful of words in a hundred thousand rows: one object each.
        values["kind"] = sys.intern(values["kind"])
        caption = values.pop("caption")
        caption["encoding"] = sys.intern(caption["encoding"])
        caption = CaptionFacts(**{**caption, "others": tuple(caption["others"])})
        seen = None if known.look is None else LookFacts(*json.loads(known.look))
        if seen is not None and seen.look:
            # Where these are no digits, it is said here and not where pictures are compared.
            int(seen.look, 16)
        return PictureFacts(folder=folder, name=known.name, caption=caption, look=seen, **values)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
