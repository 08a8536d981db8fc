"""Whether a run may go on from a state, as far as settings and pictures tell: before a model is loaded, without torch.

Device, precision and the content of the base model are compared when the state is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..options.saving import ResumeOptions
from ..options.spec import Settings
from .choosing import choose_state, damaged, state_to_resume
from .fingerprint import Fingerprint, accept_or_refuse, differences, with_known_parts

PROGRESS = "progress.json"


def check_resume(settings: Settings, data: Callable[[], str], processes: int) -> None:
    """Refuse to go on from a state that other settings, pictures or numbers of processes have made.

    Args:
        settings: of the run; without `--resume` and states of its own job there is nothing to compare.
        data: gives the fingerprint of the pictures; asked only where there is a state.
        processes: that train together.

    Raises:
        ResumeError: there is no whole state, or the run differs in more than `--allow_changes` names.
    """
    source = state_to_resume(settings)
    if source is None:
        return
    folder, _ = choose_state(source)
    before = fingerprint_in(folder)
    now = with_known_parts(before, settings, data=data(), processes=processes)
    accept_or_refuse(differences(before, now), settings[ResumeOptions].allow_changes, str(folder))


def fingerprint_in(folder: Path) -> Fingerprint:
    """What the run was that saved a state.

    Raises:
        ResumeError: the state cannot be read.
    """
    try:
        return Fingerprint(**json.loads((folder / PROGRESS).read_text("utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, [f"it cannot be read: {error}"]) from error
