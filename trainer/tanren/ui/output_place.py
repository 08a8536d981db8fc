"""Whether results can go where the form says: a folder that can be written, and names that are still free there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ..checkpoint.names import planned_files
from ..data.counting import Counts
from ..errors import Problems, StorageError, UsageError, UserError
from ..options.saving import ResumeOptions, SavingOptions
from ..options.spec import Settings
from ..paths import name_key, resolve_user_path

MOST_TRIED = 1000


def check_output(settings: Settings, counts: Counts | None, problems: Problems) -> None:
    """Add what is wrong with the folder and the name of the results; nothing is written to find out.

    Args:
        settings: of the run.
        counts: its lengths, which decide how files are called; None when they are not known.
        problems: the list.
    """
    saving = settings[SavingOptions]
    try:
        folder = resolve_user_path(saving.output_dir or "", "new folder", where="--output_dir")
        problem = _why_not_writable(folder)
        names = _names_in(folder)
    except UserError:
        # The checks of all files tell it.
        return
    if problem is not None:
        problems.add(problem)
        return
    # A run that goes on writes over what it wrote before.
    if counts is None or settings[ResumeOptions].resume:
        return
    taken = _taken(saving, counts, names)
    if taken:
        free = next(
            (name for name in _proposals(saving) if not _taken(replace(saving, output_name=name), counts, names)), ""
        )
        problems.add(
            UsageError(
                where="--output_name",
                what=f"{taken} is already in {folder}, and would be written over.",
                fix=f"Use --output_name={free}",
            )
        )


def _why_not_writable(folder: Path) -> StorageError | None:
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        what = f"{place} is not a folder, so {folder.name} cannot be made in it."
        return StorageError(where="--output_dir", what=what, fix="Choose another folder.")
    if not os.access(place, os.W_OK | os.X_OK):
        what = f"{place} cannot be written: read-only, or not yours."
        return StorageError(where="--output_dir", what=what, fix="Change the permissions or choose another folder.")
    return None


def _names_in(folder: Path) -> set[str]:
    """What lies in a folder, as file systems compare names."""
    try:
        return {name_key(entry.name) for entry in folder.iterdir()}
    except OSError:
        return set()


def _taken(saving: SavingOptions, counts: Counts, names: set[str]) -> str:
    """The first file of a run that is there already; empty when none is."""
    files = planned_files(saving, counts.max_train_steps, counts.steps_per_epoch)
    return next((file.name for file in files if name_key(file.name) in names), "")


def _proposals(saving: SavingOptions) -> list[str]:
    base = saving.output_name or "last"
    return [f"{base}-{number}" for number in range(2, MOST_TRIED)]
