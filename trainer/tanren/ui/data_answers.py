"""What the page is told of a folder of pictures: answers of the routes below `tanren/api/data`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..data.listing import picture_suffixes
from ..errors import BusyError, UsageError
from ..options.values import size_wh
from ..paths import home_expanded, resolve_user_path
from ..preparation.caption_files import SUFFIXES, encoding_named
from ..preparation.facts import PictureFacts
from ..preparation.tags import split_tags
from ..preparation.thumbnails import SmallPicture, Thumbnails
from . import data_told
from .answers import Desk, problem
from .data_choice import chosen
from .data_folder import DataFolder, DataFolders, View, tag_counts
from .recent_folders import recent_folders, remember
from .words import Words

Query = Mapping[str, str]
MOST_ROWS, MOST_TAGS, LONGEST_QUESTION, LONGEST_SIDE = 300, 2000, 20_000, 16_384
# So long the first answer about a folder waits for its first pictures, which saves the page a turn.
FIRST_SECONDS = 0.4
# How long what is to be done to all pictures waits for the last one to be known.
ALL_SECONDS = 20
SIDES = (160, 320, 1024)


@lru_cache(maxsize=4)
def folders_of(data: Path) -> DataFolders:
    """The folders that pages of this program look at."""
    return DataFolders(data)


@lru_cache(maxsize=1)
def thumbnails() -> Thumbnails:
    """The small pictures that were asked for last."""
    return Thumbnails()


def folders(desk: Desk, query: Query) -> dict[str, Any]:
    """Folders to choose from; none on a page that others can reach, where their names are nobody's business."""
    may_write = desk.guard.access.may_write
    return {"folders": recent_folders(desk.shelf, desk.surroundings.policy()) if may_write else []}


def overview(desk: Desk, query: Query) -> dict[str, Any]:
    """How a folder is understood, and what was counted so far."""
    found = opened(desk, query)
    if desk.guard.access.may_write:
        remember(desk.surroundings.data_dir, found.folder)
    if query.get("anew") == "1":
        found.refresh(at_once=True)
    found.wait_for_rows(FIRST_SECONDS)
    words = page_words(desk)
    failed = found.progress.problem
    return {
        "folder": str(found.folder),
        "version": found.version,
        "progress": {"phase": found.progress.phase, "done": found.progress.done, "total": found.progress.total},
        "is_settled": found.is_settled,
        "problem": problem(failed, words.language)["problem"] if failed else None,
        **data_told.overview_told(found, words),
    }


def rows(desk: Desk, query: Query) -> dict[str, Any]:
    """Some rows of those that are chosen."""
    found = opened(desk, query)
    offset, count = _whole(query, "offset"), min(_whole(query, "count"), MOST_ROWS)
    listed = chosen(found, _filter(query))
    shown = listed[offset : offset + count]
    words = page_words(desk)
    return {"total": len(listed), "rows": [data_told.row_told(row, found, words) for row in shown]}


def tags(desk: Desk, query: Query) -> dict[str, Any]:
    """The tags of the chosen pictures with their counts."""
    found = opened(desk, query)
    asked = _filter(query)
    counts = found.answer(f"tags {asked}", lambda: tag_counts(chosen(found, asked), split_tags))
    return {"total": len(counts), "tags": counts[:MOST_TAGS]}


def one(desk: Desk, query: Query) -> dict[str, Any]:
    """One picture with the whole text of its caption."""
    found = opened(desk, query)
    return data_told.detail_told(known_row(found, query.get("path", "")), page_words(desk), found.view.encoding)


def picture(desk: Desk, query: Query) -> SmallPicture:
    """A picture, small enough for a page.

    Raises:
        UsageError: not within the folders that are allowed, or no picture.
        DataError: it cannot be decoded.
    """
    path = picture_path(desk, query.get("path", ""))
    side = _whole(query, "side")
    return thumbnails().small(str(path), side if side in SIDES else SIDES[0])


def opened(desk: Desk, query: Mapping[str, Any]) -> DataFolder:
    """The folder that a page asks about, read in the background.

    Raises:
        UsageError: no folder, not allowed, or sizes that do not fit.
        DataError: it cannot be read.
    """
    text = str(query.get("folder") or "").strip().strip('"')
    if not text:
        raise UsageError(where="folder", what="No folder was named.", fix="Give the folder of your pictures.")
    folder = resolve_user_path(text, "folder", where="folder", policy=desk.surroundings.policy())
    asked = query.get("view") or "{}"
    return folders_of(desk.surroundings.data_dir).open(folder, view_of(_object(asked)))


def view_of(asked: Mapping[str, Any]) -> View:
    """The view that a page asks for.

    Raises:
        UsageError: a value is not one.
    """
    usual = View()
    try:
        sizes = size_wh(str(asked.get("resolution") or "512"))
    except ValueError as error:
        raise UsageError(where="resolution", what=str(error)) from None
    steps = asked.get("steps", usual.steps)
    if not isinstance(steps, int) or not 8 <= steps <= 256 or steps % 8:
        raise UsageError(where="steps", what="Steps of buckets are 8, 16, … 256.")
    return View(
        resolution_wh=sizes,
        enable_bucket=asked.get("bucket", True) is not False,
        no_upscale=asked.get("no_upscale") is True,
        steps=steps,
        shortest=_side(asked, "shortest"),
        longest=_side(asked, "longest"),
        trigger=str(asked.get("trigger") or "").strip()[:200],
        encoding=encoding_named(str(asked.get("encoding") or "")),
        tiny=_within(asked, "tiny", usual.tiny, 1, LONGEST_SIDE),
        near=_within(asked, "near", usual.near, 0, 64),
        suffix=_suffix(str(asked.get("suffix") or "")),
    )


def _within(asked: Mapping[str, Any], name: str, usual: int, low: int, high: int) -> int:
    value = asked.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(where=name, what=f"It has to be a whole number from {low} to {high}.")
    return value


def _suffix(text: str) -> str:
    if text not in ("", *SUFFIXES):
        raise UsageError(where="suffix", what="Captions end in .txt or .caption.")
    return text


def _side(asked: Mapping[str, Any], name: str) -> int:
    side, most = asked.get(name, 0), LONGEST_SIDE
    if isinstance(side, bool) or not isinstance(side, int) or not 0 <= side <= most:
        raise UsageError(where=name, what=f"Sides of buckets have at most {most} pixels.")
    return side


def known_row(found: DataFolder, path: str) -> PictureFacts:
    """The row of a picture of a folder.

    Raises:
        UsageError: there is none.
    """
    row = found.row(path)
    if row is None:
        raise UsageError(where="path", what="There is no such picture in this folder.", fix="Look at the folder again.")
    return row


def picture_path(desk: Desk, text: str) -> Path:
    """The picture that a text from the page means, within the folders that are allowed."""
    if not text:
        raise UsageError(where="path", what="No picture was named.")
    resolve_user_path(text, "file", where="path", policy=desk.surroundings.policy())
    path = home_expanded(text)
    if not path.name.lower().endswith(tuple(picture_suffixes())):
        raise UsageError(where=path.name, what="This is no picture.")
    return path


def page_words(desk: Desk) -> Words:
    """Sentences in the language of the page."""
    return Words(desk.surroundings.language())


def chosen_rows(desk: Desk, body: Mapping[str, Any]) -> tuple[DataFolder, Sequence[PictureFacts]]:
    """The folder of a request, and the rows that its filter leaves, once all are known.

    Raises:
        BusyError: the folder is still being read.
    """
    found, wanted = opened(desk, body), _object(body.get("filter") or "{}")
    if not found.wait_for_all(ALL_SECONDS, looked_into=bool(wanted.get("flag"))):
        raise BusyError(
            what="The folder is still being read.", fix="Wait until all pictures are counted, then do it again."
        )
    return found, chosen(found, wanted)


def _filter(query: Query) -> Mapping[str, Any]:
    return _object(query.get("filter") or "{}")


def _object(asked: Any) -> Mapping[str, Any]:
    if isinstance(asked, Mapping):
        return asked
    try:
        found = json.loads(str(asked)[:LONGEST_QUESTION])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(where="folder", what="The question about the folder is not a JSON object.")
    return found


def _whole(query: Query, name: str) -> int:
    text = query.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise UsageError(where=name, what="This is not a whole number.")
    return int(text)
