"""What a tool needs that may be missing: the trainer's environment, and onnxruntime in it; and its installation."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ..environment import managed_environment
from ..errors import EnvironmentProblem, UsageError
from ..paths import repository_folder
from .answers import Desk, Setup
from .environment_job import TrainerSetup
from .host import Surroundings
from .told import environment_told
from .words import Words

TRAINER, TAGGING = "trainer", "tagging"
RUNTIME = "onnxruntime"
PLAIN_PATH = re.compile(r"[\w.:\\/~+-]+")


def needs(desk: Desk) -> dict[str, Any]:
    """What is missing, and how an installation stands.

    Returns:
        lacks (of TRAINER and TAGGING), can_install, command (to type where it cannot be installed from here),
        environment (as the page's card of it is told; None where nothing can be set up).
    """
    setup = _setup_of(desk)
    words = Words(desk.surroundings.language())
    return {
        "lacks": _lacking(desk, setup),
        "can_install": setup is not None and desk.surroundings.may_write,
        "command": _command(desk) if desk.surroundings.may_write else "",
        "environment": environment_told(setup.status(), words) if setup is not None else None,
    }


def change(desk: Desk, body: Mapping[str, Any]) -> dict[str, Any]:
    """Begin to install what is missing, or end that: `action` is "install" or "cancel".

    Raises:
        UsageError: it is neither.
        EnvironmentProblem: this program was not set up by Tanren, so nothing is added to its packages.
    """
    setup = _setup_of(desk)
    if setup is None:
        raise EnvironmentProblem(
            what="Tanren was installed with pip here, so packages are added with pip, too.",
            fix=_command(desk),
        )
    actions = {"install": lambda: setup.add(TAGGING), "cancel": setup.cancel}
    action = actions.get(str(body.get("action") or ""))
    if action is None:
        raise UsageError(where="action", what="There is no such action.", fix="Load the page anew.")
    action()
    return needs(desk)


def trainer_python(desk: Desk) -> Path | None:
    """The interpreter that models run in; None where there is none yet."""
    if desk.setup is None:
        return Path(sys.executable)
    try:
        return desk.setup.python()
    except EnvironmentProblem:
        return None


def _command(desk: Desk) -> str:
    python = str(trainer_python(desk) or sys.executable)
    # To PowerShell a quoted path is a text and no program.
    program = python if PLAIN_PATH.fullmatch(python) else f'"{python}"'
    return f"{program} -m pip install {RUNTIME}"


def _lacking(desk: Desk, setup: Setup | None) -> list[str]:
    if desk.setup is not None and trainer_python(desk) is None:
        return [TRAINER, TAGGING]
    if desk.setup is not None and setup is not None:
        return [] if setup.has(TAGGING) else [TAGGING]
    # This program runs in the trainer's environment itself, and may have started before the packages came.
    importlib.invalidate_caches()
    return [] if importlib.util.find_spec(RUNTIME) is not None else [TAGGING]


def _setup_of(desk: Desk) -> Setup | None:
    return desk.setup if desk.setup is not None else _own_setup(cast(Hashable, desk.surroundings))


@lru_cache(maxsize=1)
def _own_setup(surroundings: Hashable) -> TrainerSetup | None:
    """The set-up of the environment that this program itself runs in; None where that was not made by Tanren."""
    if repository_folder() is None:
        return None
    environment = managed_environment()
    is_here = Path(sys.prefix).resolve() == environment.folder.resolve()
    # Kept, because it waits for the process that it started.
    return TrainerSetup(cast(Surroundings, surroundings)) if is_here and environment.said() else None
