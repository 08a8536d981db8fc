"""What lies beside a model file: the WebUI's user metadata (`.json`), `.civitai.info`, a description, a preview."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import write_text

MAX_BYTES = 4 * 2**20
PICTURE_ENDINGS = ("png", "jpg", "jpeg", "webp", "gif", "avif")
# Fields of the WebUI's own editor, and the kind of value each has.
HOST_FIELDS: dict[str, type] = {
    "description": str,
    "sd version": str,
    "activation text": str,
    "preferred weight": float,
    "negative text": str,
    "notes": str,
}


@dataclass(frozen=True)
class Beside:
    """What was found beside a file.

    Args:
        host: the WebUI's user metadata; empty when there are none.
        civitai: what Civitai-Helper and others saved; empty when there is nothing.
        description: from `.txt` or `.description.txt`, where the user metadata have none.
        preview: the picture the WebUI shows.
        problems: sentences about what could not be read.
    """

    host: dict[str, Any] = field(default_factory=dict)
    civitai: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    preview: Path | None = None
    problems: tuple[str, ...] = ()

    @property
    def for_triggers(self) -> dict[str, Any]:
        """The fields that name trigger words."""
        return {**self.civitai, **self.host}


def read_beside(path: Path) -> Beside:
    """Read what lies beside a model file; damaged files are said, not raised."""
    problems: list[str] = []
    host = _object(path.with_suffix(".json"), problems)
    civitai = _object(path.with_suffix(".civitai.info"), problems)
    description = "" if isinstance(host.get("description"), str) and host["description"] else _description(path)
    return Beside(host, civitai, description, preview_of(path), tuple(problems))


def preview_of(path: Path) -> Path | None:
    """The picture the WebUI shows on the card, or None."""
    for middle in ("", ".preview"):
        for ending in PICTURE_ENDINGS:
            candidate = path.with_name(f"{path.stem}{middle}.{ending}")
            if candidate.is_file():
                return candidate
    return None


def write_host_fields(path: Path, changes: Mapping[str, Any]) -> Path:
    """Change fields of the WebUI's user metadata beside a file; fields that are not named stay.

    Args:
        path: the model file.
        changes: field -> value, or None to take the field out.

    Raises:
        UsageError: a value of the wrong kind, or the file there is damaged (it is not overwritten).
        StorageError: it could not be written.
    """
    target = path.with_suffix(".json")
    content = read_host_fields(path)
    for name, value in changes.items():
        if value is None:
            content.pop(name, None)
        else:
            content[name] = checked_host_field(name, value)
    # As the WebUI writes it: indented by 4, letters as they are.
    text = json.dumps(content, indent=4, ensure_ascii=False)
    return write_text(target, text)


def read_host_fields(path: Path) -> dict[str, Any]:
    """The WebUI's user metadata beside a model file, to be changed.

    Raises:
        UsageError: the file there is damaged.
    """
    target = path.with_suffix(".json")
    problems: list[str] = []
    content = _object(target, problems)
    if problems:
        raise UsageError(where=str(target), what=problems[0], fix="Mend it or move it away, then try again.")
    return content


def checked_host_field(name: str, value: Any) -> Any:
    """The value as the WebUI's file holds it.

    Raises:
        UsageError: a value of the wrong kind.
    """
    kind = HOST_FIELDS.get(name, str)
    if kind is float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not 0 <= number <= 100:
            raise UsageError(where=name, what=f"{value!r} is no weight.", fix="Write a number such as 0.8.")
        return int(number) if number.is_integer() else number
    if not isinstance(value, str) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise UsageError(where=name, what=f"{value!r} is not text.")
    return value


def _object(path: Path, problems: list[str]) -> dict[str, Any]:
    """The JSON object in a file; none for no file, a sentence for a damaged one."""
    try:
        if not path.is_file():
            return {}
        if path.stat().st_size > MAX_BYTES:
            problems.append(f"{path.name} is larger than 4 MiB and was not read.")
            return {}
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
        # Half a character (a lone surrogate) could be read but never written again.
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except (OSError, ValueError, RecursionError):
        problems.append(f"{path.name} is unreadable.")
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path.name} is unreadable: it is not an object.")
        return {}
    return content


def _description(path: Path) -> str:
    for ending in (".txt", ".description.txt"):
        candidate = path.with_name(path.stem + ending)
        try:
            if candidate.is_file():
                with candidate.open("rb") as file:
                    return file.read(100_000).decode("utf-8-sig", "replace")
        except OSError:
            continue
    return ""
