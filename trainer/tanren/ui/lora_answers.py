"""What the page is told of one model file and of two side by side: answers of the routes below `tanren/api/lora`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError
from ..formats.safetensors_header import read_header
from ..library.backups import backups_of
from ..library.change import mark_of
from ..library.compare import compare as compared
from ..library.cover import cover_of, picture_bytes, read_picture
from ..library.edit import FAMILY_KEYS
from ..library.hashes import hash_problems, hashes_of
from ..library.look import Look, look_at
from ..library.sidecar import preview_of
from ..paths import home_expanded, resolve_user_path
from .answers import Body, Desk
from .lora_again import again_told
from .lora_told import MOST_ROWS, file_told, named, title_of
from .words import Words

SHOWN_SIDE = 768
ENDINGS = (".safetensors", ".pt", ".ckpt", ".bin", ".pth")

Query = Mapping[str, str]


def one_file(desk: Desk, query: Query) -> dict[str, Any]:
    """Everything about one file."""
    return told(desk, look_at(model_path(desk, query.get("path", ""))))


def told(desk: Desk, look: Look) -> dict[str, Any]:
    """One file that was looked at, and what this page may do with it."""
    checkpoint = desk.surroundings.checkpoint()
    shown = file_told(look, page_words(desk), checkpoint=checkpoint.family if checkpoint else None)
    return {
        **shown,
        "mark": str(mark_of(look.path)),
        "family_keys": sorted(FAMILY_KEYS & look.metadata.keys()),
        "can_undo": bool(backups_of(look.path, desk.surroundings.data_dir)),
        "checkpoint": checkpoint.name if checkpoint else None,
    }


def raw(desk: Desk, query: Query) -> dict[str, Any]:
    """The metadata as they stand in the file."""
    path = model_path(desk, query.get("path", ""))
    return {"path": str(path), "metadata": read_header(path).metadata}


def picture(desk: Desk, query: Query) -> bytes:
    """The cover inside a file, or the picture beside it, encoded anew as PNG.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    path = model_path(desk, query.get("path", ""))
    if query.get("which") == "preview":
        beside = preview_of(path)
        if beside is None:
            raise DataError(where=path.name, what="There is no picture beside this file.")
        return picture_bytes(read_picture(beside), SHOWN_SIDE)
    cover = cover_of(read_header(path).metadata)
    if not cover.png:
        raise DataError(where=path.name, what=cover.problem or "There is no cover in this file.")
    return cover.png


def hashes(desk: Desk, query: Query) -> dict[str, Any]:
    """The hashes of a file, computed from all of it, and whether those that it stores are right."""
    path = model_path(desk, query.get("path", ""))
    found = hashes_of(path)
    problems = hash_problems(read_header(path).metadata, found)
    return {
        "sha256": found.sha256,
        "auto_v2": found.auto_v2,
        "tensors": found.tensors,
        "auto_v3": found.auto_v3,
        "legacy": found.legacy,
        "problems": [page_words(desk).finished(sentence) for sentence in problems],
    }


def again(desk: Desk, query: Query) -> dict[str, Any]:
    """Settings for another training like that of a file."""
    return again_told(look_at(model_path(desk, query.get("path", ""))), desk.surroundings)


def compare(desk: Desk, query: Query) -> dict[str, Any]:
    """What differs between two files."""
    words = page_words(desk)
    first, second = (look_at(model_path(desk, query.get(name, ""))) for name in ("first", "second"))
    found = compared(first, second)
    return {
        "files": [{"path": str(one.path), "name": one.path.name, "summary": one.summary} for one in (first, second)],
        "same_tensors": found.same_tensors,
        "kinds": [
            [named("kind", what, what, words), words.finished(one), words.finished(other)]
            for what, one, other in found.kinds
        ],
        "settings": [
            {"key": one.key, "title": title_of(one.key, words), "first": one.before, "second": one.after}
            for one in found.settings[:MOST_ROWS]
        ],
        "tags": found.tags[:MOST_ROWS],
        "tag_count": len(found.tags),
        "ranks": found.ranks,
    }


def norms(desk: Desk, query: Query) -> dict[str, Any]:
    """How far the computation of the norms of a file is, or what came of it."""
    run = desk.norms.look(model_path(desk, query.get("path", "")))
    return run.as_dict() if run is not None else {"state": "none"}


def start_norms(desk: Desk, body: Body) -> dict[str, Any]:
    """Begin to compute the norms of a file."""
    path = model_path(desk, str(body.get("path") or ""))
    python = desk.setup.python() if desk.setup is not None else Path(sys.executable)
    return desk.norms.start(path, python).as_dict()


def cancel_norms(desk: Desk, body: Body) -> dict[str, Any]:
    """End that computation."""
    desk.norms.cancel(model_path(desk, str(body.get("path") or "")))
    return {"ok": True}


def model_path(desk: Desk, text: str) -> Path:
    """The model file that a text from the page means, within the folders that are allowed.

    A link stays the name that was given, for what lies beside it.

    Raises:
        UsageError: no path, not there, not allowed, or no name of a model file.
    """
    if not text:
        raise UsageError(where="path", what="No file was named.")
    resolve_user_path(text, "file", where="path", policy=desk.surroundings.policy())
    path = home_expanded(text).absolute()
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(where=path.name, what="This is no model file.", fix="Choose a .safetensors file.")
    return path


def page_words(desk: Desk) -> Words:
    """Sentences in the language of the page."""
    return Words(desk.surroundings.language())
