"""The run as a job that others can watch, and where the program keeps its own files."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import option


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """The run as a folder, and the program's own folder."""

    job_dir: str | None = option(
        None,
        "Run as a job: events, control, result and checkpoints live in this folder.",
        label="Job folder",
        level="expert",
        path="folder",
    )
    data_dir: str | None = option(
        None,
        "Folder of runs, caches and presets; TANREN_DATA names it too.",
        label="Data folder",
        aliases=("data-dir",),
        level="expert",
        path="folder",
    )
