"""Running a tool as its process does, and what the tests ask about it."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image
from tanren.picture_models.__main__ import main

COLOURS = {"blue": (0, 0, 255), "red": (255, 0, 0), "green": (0, 255, 0)}


def pictures(folder: Path, *names: str, size=(8, 8)) -> Path:
    """Plain pictures; a name begins with its colour."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, COLOURS[path.name.split(".")[0].split("-")[0]]).save(path)
    return folder


def run(capsys, *words) -> tuple[int, list[dict]]:
    """Exit code and events of a tool."""
    code = main([*map(str, words), "--events"])
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["kind"] == "ended"
    assert events[-1]["code"] == code
    return code, events


def of_kind(events, kind) -> list[dict]:
    return [event for event in events if event["kind"] == kind]


def problem(capsys, *words) -> str:
    """The only problem of a tool that fails, first line."""
    _, events = run(capsys, *words)
    (found,) = of_kind(events, "problem")
    return f"{found['where']}: {found['what']}" if found["where"] else found["what"]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
