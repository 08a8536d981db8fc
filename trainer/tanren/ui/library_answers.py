"""What the page is told of the library: answers of the routes below `tanren/api/library`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..formats.network_family import TITLES as FAMILIES
from ..formats.network_kind import TYPES
from ..library.copies import duplicates, work_left
from ..library.filing import A1111, FORGE, Filed, is_hidden
from ..library.index import LibraryIndex
from ..library.rows import Row
from ..library.table import ORDERS, Filters, choices, day_of
from ..paths import resolve_user_path
from .answers import Body, Desk
from .guard import Refused
from .library_desk import library_folders, lora_folders
from .words import Words

Query = Mapping[str, str]
MOST_ROWS, MOST_PATHS, MOST_TAGS, LONGEST = 200, 5000, 8, 200
HIGHEST = 10**9
TEXTS = ("text", "tag", "family", "type", "trainer", "date_from", "date_to")
TRUTHS = ("without_metadata", "broken", "duplicates")
SHORT_FAMILIES = {"sd1": "SD 1", "sd2": "SD 2", "sd3": "SD 3"}
SHORT_TYPES = {"locon": "LoCon", "full": "full difference", "dora": "DoRA"}


def overview(desk: Desk, query: Query) -> dict[str, Any]:
    """How large the library is, what its filters can ask for, and what is being done."""
    index = _index(desk)
    rows, words = index.rows(), Words(desk.surroundings.language())
    folders = lora_folders(desk.surroundings)
    return {
        "version": index.version,
        "count": len(rows),
        "families": [[one, _family(one, words)] for one in choices(rows, "family")],
        "types": [[one, _type(one, words)] for one in choices(rows, "type")],
        "trainers": choices(rows, "trainer"),
        "folders": [folder.name if desk.surroundings.is_public else str(folder) for folder in folders],
        "host": _host(desk),
        "checkpoint": _checkpoint_family(desk),
        "copies_left": work_left(rows).bytes,
        "work": _work(desk),
    }


def rows(desk: Desk, query: Query) -> dict[str, Any]:
    """A piece of the table: `count` rows from `from` on, and how many there are."""
    index = _index(desk)
    found = _found(desk, index, query)
    first, many = _number(query, "from", 0), min(_number(query, "count", MOST_ROWS), MOST_ROWS)
    told = _Teller(desk, index)
    return {
        "version": index.version,
        "total": len(found),
        "from": first,
        "rows": [told.row(row) for row in found[first : first + many]],
        "work": _work(desk),
    }


def paths(desk: Desk, query: Query) -> dict[str, Any]:
    """The paths of all rows that are as asked, for "choose all"."""
    found = [row.path for row in _found(desk, _index(desk), query) if not row.problem]
    return {"paths": found[:MOST_PATHS], "total": len(found)}


def find(desk: Desk, query: Query) -> dict[str, Any]:
    """The file that a card of the WebUI stands for: by its path where the card tells it, else by its name."""
    path, name = query.get("path", ""), query.get("name", "")
    if path and _is_there(desk, path):
        return {"path": path}
    stem = name.replace("\\", "/").rpartition("/")[2]
    listed = desk.surroundings.lora_path(name)
    if listed is not None:
        return {"path": str(listed)}
    for row in _index(desk).rows():
        if Path(row.path).stem == stem or row.alias == name:
            return {"path": row.path}
    raise Refused(404, what=f"No LoRA of the name {name!r} is known.", fix="Refresh the WebUI's list of LoRAs.")


def refresh(desk: Desk, query: Query) -> dict[str, Any]:
    """Begin to read what has changed; pages do it when they are opened, and people with a button."""
    folders = library_folders(desk.surroundings, desk.shelf)
    # Strangers who only look do not make the disk work again and again.
    is_asked = query.get("asked") == "1" and desk.surroundings.may_write
    desk.library.refresh(_index(desk), folders, is_asked=is_asked)
    return {"ok": True, "work": _work(desk)}


def change_work(desk: Desk, body: Body) -> dict[str, Any]:
    """Begin to search copies, or pause what is under way."""
    action = body.get("action")
    if action == "copies":
        desk.library.search_copies(_index(desk))
    elif action == "pause":
        desk.library.pause()
    else:
        raise Refused(404, what="There is no such action.", why="copies, pause")
    return {"ok": True, "work": _work(desk)}


class _Teller:
    """Rows as the page shows them.

    Args:
        desk: of the answers.
        index: whose rows are told.
    """

    def __init__(self, desk: Desk, index: LibraryIndex) -> None:
        self._words = Words(desk.surroundings.language())
        self._host, self._checkpoint = _host(desk), _checkpoint_family(desk)
        self._folders = [str(folder) for folder in lora_folders(desk.surroundings)]
        self._copies = {row.path: len(group) - 1 for group in duplicates(index.rows()) for row in group}

    def row(self, row: Row) -> dict[str, Any]:
        """One row."""
        return {
            "path": row.path,
            "name": row.name,
            "place": _place(row.path, self._folders),
            "alias": row.alias if row.alias != Path(row.path).stem else "",
            "family": "" if row.problem else _family(row.family, self._words),
            "type": "" if row.problem else _type(row.type, self._words),
            "rank": row.ranks,
            "words": row.words,
            "tags": [tag[:LONGEST] for tag in row.tags[:MOST_TAGS]],
            "trainer": row.trainer,
            "day": day_of(row),
            "size": row.size,
            "preview": bool(row.preview),
            "problem": self._words.finished(row.problem),
            "flags": [] if row.problem else list(self._flags(row)),
        }

    def _flags(self, row: Row) -> Iterable[dict[str, Any]]:
        if row.doubt:
            yield {"kind": "doubt", "text": self._words.finished(row.doubt)}
        word = row.filed.get(self._host, "")
        if word and is_hidden(Filed(self._host, word, True), self._checkpoint):
            yield {"kind": "hidden", "text": self._words(HIDDEN, host=self._host, word=word)}
        if not row.has_metadata:
            yield {"kind": "silent", "text": self._words("It says nothing about itself.")}
        if row.path in self._copies:
            yield {"kind": "copy", "text": self._words(COPIES, count=self._copies[row.path])}


HIDDEN = "{host} takes it for {word} and leaves its card out while this checkpoint is loaded."
COPIES = "Other files with the same tensors: {count}."


def _is_there(desk: Desk, path: str) -> bool:
    try:
        resolve_user_path(path, "file", policy=desk.surroundings.policy())
    except UserError:
        return False
    return True


def _found(desk: Desk, index: LibraryIndex, query: Query) -> list[Row]:
    column = query.get("sort", "name")
    if column not in ORDERS:
        raise Refused(400, what="There is no such column.", why=", ".join(ORDERS))
    texts: dict[str, Any] = {name: query.get(name, "")[:LONGEST] for name in TEXTS}
    truths: dict[str, Any] = {name: query.get(name) == "1" for name in TRUTHS}
    filters = Filters(
        **texts,
        **truths,
        rank_from=_number(query, "rank_from", 0),
        rank_to=_number(query, "rank_to", 0),
        hidden_by=_host(desk) if query.get("hidden") == "1" else "",
        checkpoint_family=_checkpoint_family(desk),
    )
    return desk.library.rows(index, filters, column, descending=query.get("descending") == "1")


def _number(query: Query, name: str, otherwise: int) -> int:
    text = query.get(name, "")
    if not text:
        return otherwise
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Refused(400, what=f"`{name}` is not a number.", fix=f"Use a number from 0 to {HIGHEST - 1}.")
    return int(text)


def _index(desk: Desk) -> LibraryIndex:
    return desk.library.index(desk.surroundings.data_dir)


def _host(desk: Desk) -> str:
    """Whose rules of filing hold here; empty without a WebUI."""
    return {"a1111": A1111, "forge": FORGE}.get(desk.surroundings.kind, "")


def _checkpoint_family(desk: Desk) -> str:
    checkpoint = desk.surroundings.checkpoint()
    return checkpoint.family if checkpoint is not None else ""


def _work(desk: Desk) -> dict[str, Any] | None:
    work = desk.library.work()
    if work is None:
        return None
    return {
        "kind": work.kind,
        "is_running": work.is_running,
        "is_whole": work.is_whole,
        "done": work.done,
        "total": work.total,
    }


def _type(kind: str, words: Words) -> str:
    return words(SHORT_TYPES.get(kind) or TYPES.get(kind, kind))


def _family(family: str, words: Words) -> str:
    return SHORT_FAMILIES.get(family) or words(FAMILIES.get(family, family))


def _place(path: str, folders: Iterable[str]) -> str:
    """The folder of a file below that of the library; the whole one where it lies elsewhere."""
    folder = str(Path(path).parent)
    for root in folders:
        if folder == root:
            return ""
        if folder.startswith(root.rstrip("/\\") + ("\\" if "\\" in root else "/")):
            return folder[len(root) :].strip("/\\")
    return folder
