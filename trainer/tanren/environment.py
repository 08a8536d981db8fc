"""The trainer's own environment: what should be in it, and whether it is whole.

`.venv` holds `tanren-setup.json`, which is written first as "unfinished" and last as "ready" with a hash of `pins.txt`.
Whatever stops a set-up in between, the next start sees "unfinished" and begins again with an empty folder. Looking at a
ready environment reads that file and one small file per package; it starts no process and asks no network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .disk import TEMP_PREFIX
from .errors import EnvironmentProblem
from .paths import repository_folder
from .pins import TRAINER, Pins, canonical

State = Literal["ready", "missing", "unfinished", "outdated", "broken", "foreign"]
MARKER, LOCK = "tanren-setup.json", "tanren-setup.lock"
# Of a set-up that was started from the page: which process it is, and what it says.
RUN, LOG = "tanren-setup-run.json", "tanren-setup.log"


@dataclass(frozen=True)
class Environment:
    """A place for the trainer's packages."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def marker(self) -> Path:
        """The file that says how far the set-up is."""
        return self.folder / MARKER

    def said(self) -> dict[str, Any]:
        """What the marker says; empty when it is not there or not readable."""
        try:
            content = json.loads(self.marker.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


@dataclass(frozen=True)
class Status:
    """How an environment stands, why, and which sections it has."""

    state: State
    why: str = ""
    sections: tuple[str, ...] = ()


def managed_environment() -> Environment:
    """The environment of this checkout: `.venv`, or the folder TANREN_VENV names."""
    chosen = os.environ.get("TANREN_VENV")
    if chosen:
        return Environment(Path(chosen).expanduser().absolute())
    root = repository_folder()
    if root is None:
        raise EnvironmentProblem(
            what="Tanren was installed with pip, so the environment it was installed into is the trainer's.",
            fix="Install what is missing there with pip, or set TANREN_VENV to a folder of its own.",
        )
    return Environment(root / ".venv")


def status(environment: Environment, pins: Pins, sections: Iterable[str] = (TRAINER,)) -> Status:
    """How the environment stands for these sections; looks at a few small files only."""
    said = environment.said()
    if not said:
        if environment.folder.is_dir() and not all(is_ours(item.name) for item in environment.folder.iterdir()):
            return Status("foreign", "it was not made by Tanren")
        return Status("missing", "it was not made yet")
    present = tuple(name for name in said.get("sections", ()) if name in pins.sections)
    if said.get("state") != "ready":
        return Status("unfinished", "an earlier set-up was interrupted", present)
    damage = _damage(environment, said)
    if damage:
        return Status("broken", damage, present)
    if said.get("pins") != pins.hash:
        return Status("outdated", "this version of Tanren wants other package versions", present)
    absent = [name for name in sections if name not in present]
    if absent:
        return Status("outdated", "packages are still missing for: " + ", ".join(absent), present)
    return Status("ready", "", present)


def is_ours(name: str) -> bool:
    """True for what a set-up keeps in the folder beside the environment itself."""
    return name in (MARKER, LOCK, RUN, LOG) or name.startswith(TEMP_PREFIX)


def packages_folder(environment: Environment) -> Path:
    """Where its packages lie."""
    if os.name == "nt":
        return environment.folder / "Lib" / "site-packages"
    found = sorted((environment.folder / "lib").glob("python3.*/site-packages"))
    return found[0] if found else environment.folder / "lib" / "site-packages"


def installed_names(environment: Environment) -> list[str]:
    """All packages in it, as their dist-info folders spell them."""
    folders = packages_folder(environment).glob("*.dist-info")
    return [folder.name.removesuffix(".dist-info").rpartition("-")[0] for folder in folders]


def installed_versions(environment: Environment, names: Iterable[str]) -> dict[str, str]:
    """Versions found for these packages, under the spelling their dist-info folders have."""
    wanted = {canonical(name) for name in names}
    found = {}
    for folder in packages_folder(environment).glob("*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        if canonical(name) in wanted:
            found[name] = version
    return dict(sorted(found.items()))


def _damage(environment: Environment, said: dict[str, Any]) -> str:
    """What is wrong with an environment that was ready once; empty when nothing is seen."""
    if not environment.python.exists():
        return "its Python is gone"
    folder = packages_folder(environment)
    # pip writes RECORD last, so a package without it was torn or taken away.
    for name, version in said.get("packages", {}).items():
        if not (folder / f"{name}-{version}.dist-info" / "RECORD").is_file():
            return f"{name} {version} is missing or was replaced by another version"
    return ""
