"""An environment that somebody else made and that the settings name: looked at, never changed.

Files are looked at and no Python is started, so that a page can ask every second. Whether torch really works there is
seen by the trainer, which says so before it does anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..environment import Environment, installed_versions, packages_folder
from ..paths import repository_folder
from ..pins import TRAINER, Pins, canonical

# The page, the charts of tensorboard and 8-bit optimizers are not what every training needs.
NOT_NEEDED = frozenset({"gradio", "tensorboard", "bitsandbytes", "psutil", "tqdm"})
RANGE = re.compile(r'^\s*"([A-Za-z0-9._-]+)>=([\d.]+)', re.MULTILINE)


@dataclass(frozen=True)
class Given:
    """What was found.

    Args:
        python: its interpreter; None when there is none.
        why: what keeps it from being used; empty when nothing does.
        hint: what is other than what was tested; empty when nothing is.
    """

    python: Path | None
    why: str = ""
    hint: str = ""


def look_at(folder: Path, pins: Pins) -> Given:
    """Whether the trainer can run with the packages in this folder's environment."""
    environment = Environment(folder)
    python = next((path for path in _interpreters(environment) if path.is_file()), None)
    if python is None:
        return Given(None, "there is no Python in it")
    if not (packages_folder(environment) / "torch" / "version.py").is_file():
        return Given(python, "torch is not installed in it")
    found = {canonical(name): version for name, version in installed_versions(environment, _names(pins)).items()}
    missing = [name for name in _names(pins) if canonical(name) not in found]
    if missing:
        return Given(python, "these packages are not installed in it: " + ", ".join(missing))
    oldest = oldest_versions()
    old = [f"{name} {found[name]} (at least {oldest[name]})" for name in found if _is_older(found[name], oldest, name)]
    if old:
        return Given(python, "these packages are too old: " + ", ".join(old))
    return Given(python, hint=_differences(found, pins, packages_folder(environment)))


def oldest_versions() -> dict[str, str]:
    """Package to the oldest version the trainer works with, from the ranges in `pyproject.toml`."""
    root = repository_folder()
    if root is None:
        return {}
    text = (root / "pyproject.toml").read_text("utf-8")
    block = text[text.index("dependencies = [") :].partition("\n]")[0]
    return {canonical(name): version for name, version in RANGE.findall(block)}


def _interpreters(environment: Environment) -> list[Path]:
    # conda puts its interpreter at the top on Windows.
    return [environment.python, environment.folder / "python.exe"]


def _names(pins: Pins) -> list[str]:
    return [name for name in pins.names([TRAINER]) if name not in NOT_NEEDED]


def _is_older(version: str, oldest: dict[str, str], name: str) -> bool:
    return name in oldest and _numbers(version) < _numbers(oldest[name])


def _numbers(version: str) -> tuple[int, ...]:
    """The release part; what follows a plus or letters says which build it is."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else ()


def _differences(found: dict[str, str], pins: Pins, packages: Path) -> str:
    python = re.search(r"python3\.(\d+)", packages.as_posix())
    tested = pins.versions([TRAINER], (3, int(python[1])) if python else (3, 11))
    others = [
        f"{name} {found[canonical(name)]} (tested with {version})"
        for name, version in tested.items()
        if canonical(name) in found and found[canonical(name)].partition("+")[0] != version
    ]
    return ", ".join(others)
