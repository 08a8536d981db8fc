"""What the page may do with a model file: change it and what lies beside it, scrub it, undo."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..library import change
from ..library.backups import undo as undo_last
from ..library.change import Planned, Wanted
from ..library.cover import cover_values_of, picture_bytes
from ..library.edit import Change, Difference
from ..library.hashes import CHANGES, STAYS
from ..library.look import look_at
from ..library.preview import SIDE
from .answers import Body, Desk
from .lora_answers import model_path, page_words, told
from .lora_told import host_title, title_of
from .words import Words

PICTURES = ("modelspec.thumbnail", "ssmd_cover_images")
SHOWN, LONG = 2000, 240


def edit(desk: Desk, body: Body) -> dict[str, Any]:
    """Change one file, or with `dry_run` only say what would change."""
    path = model_path(desk, _text(body, "path"))
    wanted = _wanted(body)
    mark = _text(body, "mark") or None
    if body.get("dry_run") is True:
        return _planned_told(change.planned(path, wanted), page_words(desk), is_written=False)
    plan = change.apply(path, wanted, desk.surroundings.data_dir, mark=mark)
    _told_to_host(desk, path, plan)
    return {**_planned_told(plan, page_words(desk), is_written=True), "file": told(desk, look_at(path))}


def undo(desk: Desk, body: Body) -> dict[str, Any]:
    """Bring back what one file and what lies beside it were before the last edit."""
    path = model_path(desk, _text(body, "path"))
    undo_last(path, desk.surroundings.data_dir)
    desk.surroundings.refresh_loras(path)
    return {"ok": True, "file": told(desk, look_at(path))}


def _told_to_host(desk: Desk, path: Path, plan: Planned) -> None:
    """Let the WebUI read a file anew that it lists."""
    if not plan.is_empty:
        desk.surroundings.refresh_loras(path)


def _wanted(body: Body) -> Wanted:
    """What a request asks for, each part checked to be of its kind.

    Raises:
        UsageError: a part is of another kind, or a picture cannot be read.
    """
    set_values = _texts(body, "set")
    if body.get("cover"):
        set_values |= cover_values_of(_picture(body, "cover"), "cover")
    unset = body.get("unset") or []
    if not isinstance(unset, list) or not all(isinstance(key, str) for key in unset):
        raise UsageError(where="unset", what="It is not a list of names.")
    inside = Change(set_values, tuple(unset), may_lose_family=body.get("may_lose_family") is True)
    beside = body.get("beside") or {}
    if not isinstance(beside, Mapping):
        raise UsageError(where="beside", what="It is not a list of fields with their values.")
    preview = picture_bytes(_picture(body, "preview"), SIDE) if body.get("preview") else None
    return Wanted(
        inside,
        {str(name): value for name, value in beside.items()},
        preview,
        scrub=body.get("scrub") is True,
        keep_folders=body.get("keep_folders") is True,
    )


def _planned_told(plan: Planned, words: Words, *, is_written: bool) -> dict[str, Any]:
    return {
        "path": str(plan.path),
        "name": plan.path.name,
        "is_written": is_written,
        "inside": [_difference(one, title_of(one.key, words)) for one in plan.inside],
        "beside": [_difference(one, host_title(one.key, words)) for one in plan.beside],
        "preview": plan.preview is not None,
        "folders": [{"before": before, "after": after} for before, after in plan.folders.items()],
        "users": list(plan.users),
        "hashes": [words(CHANGES), words(STAYS)] if plan.inside else [],
        "is_empty": plan.is_empty,
    }


def _difference(one: Difference, title: str) -> dict[str, Any]:
    texts = (one.before, one.after) if one.key in PICTURES else _around(one.before, one.after)
    before, after = (_shown(one.key, text) for text in texts)
    return {"key": one.key, "title": title, "before": before, "after": after}


def _around(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    """Two long texts that begin alike, from a little before the place where they differ."""
    if before is None or after is None or max(len(before), len(after)) <= LONG:
        return before, after
    place = next((n for n, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    start = max(0, place - LONG // 4)
    mark = "…" if start else ""
    return mark + before[start:], mark + after[start:]


def _shown(key: str, text: str | None) -> str | None:
    if text is None or key not in PICTURES:
        return text if text is None or len(text) <= SHOWN else text[:SHOWN] + "…"
    return f"({len(text)} bytes)"


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _texts(body: Body, name: str) -> dict[str, str]:
    values = body.get(name) or {}
    if not isinstance(values, Mapping) or not all(isinstance(text, str) for text in values.values()):
        raise UsageError(where=name, what="It is not a list of fields with their texts.")
    return {str(key): text for key, text in values.items()}


def _picture(body: Body, name: str) -> bytes:
    """The bytes of a picture that the page sends as base64."""
    try:
        return base64.b64decode(_text(body, name), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(where=name, what="This is no picture.") from error
