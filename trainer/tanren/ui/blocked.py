"""Our folders, taken out of what gradio's file route gives away.

A WebUI serves everything below its own data folder to whoever can open the page, and our jobs, caches and the trainer's
environment usually lie there. gradio asks `blocked_paths` of the running Blocks at each request, in all its lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def block_folders(blocks: Any, folders: Iterable[Path]) -> list[str]:
    """Forbid gradio to serve these folders, and return what is forbidden now.

    Args:
        blocks: the running Blocks: `demo` of `on_app_started`, or those that were mounted.
        folders: as they are written; where links lead is forbidden as well.
    """
    known = [str(path) for path in getattr(blocks, "blocked_paths", None) or []]
    wanted = [str(path) for folder in folders for path in _spellings(folder)]
    # Never changed in place: the list may be the operator's own.
    blocks.blocked_paths = list(dict.fromkeys([*known, *wanted]))
    return blocks.blocked_paths


def own_folders(data_dir: Path, venv: Path | None, extension: Path | None) -> list[Path]:
    """What nobody may download: data, the trainer's environment, and what begins with a dot beside the code.

    Args:
        data_dir: the data folder.
        venv: of the trainer.
        extension: the folder of the extension as the WebUI names it; it may be a link to the repository.
    """
    found = [data_dir]
    if venv is not None:
        found.append(venv)
    if extension is not None:
        found += [extension / "data", extension / ".venv", *_dot_entries(extension)]
    return found


def _dot_entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.startswith("."))
    except OSError:
        return []


def _spellings(folder: Path) -> list[Path]:
    """The folder as it is written, with its parents' links followed, and as it really lies."""
    absolute = Path(folder).absolute()
    return list(dict.fromkeys([absolute, absolute.parent.resolve() / absolute.name, absolute.resolve()]))
