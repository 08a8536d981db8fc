"""How far a set-up of the trainer's environment is, told by its log and by the packages that are there already.

pip says "Collecting" for each package it finds, "Downloading" with a size, and names all packages once before it
installs them one after the other; each leaves its `.dist-info` folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..environment import Environment, packages_folder
from ..environment_setup import DOWNLOADS, OTHER_TORCH
from ..pins import canonical

Phase = Literal["start", "make", "download", "install", "try"]

COLLECTING = re.compile(r"^Collecting ([A-Za-z0-9._-]+)")
DOWNLOADING = re.compile(
    r"^\s*(?:Downloading|Using cached) (?:\S*/)?([A-Za-z0-9._]+)-\d\S*\.(?:whl|tar\.gz|zip)\b(.*)$"
)
INSTALLING = "Installing collected packages: "


@dataclass(frozen=True)
class Progress:
    """Where a set-up is.

    Args:
        phase: "start" until it has said anything.
        package: that is fetched now; empty when none is.
        done, total: packages; in the phase "download" those fetched, of those found so far.
        bytes: downloaded so far.
    """

    phase: Phase
    package: str = ""
    done: int = 0
    total: int = 0
    bytes: int = 0


def progress_of(lines: Sequence[str], environment: Environment) -> Progress:
    """How far the set-up is whose log has these lines."""
    installing = [line[len(INSTALLING) :] for line in lines if line.startswith(INSTALLING)]
    if any(line.startswith("Trying the packages") for line in lines):
        return Progress("try")
    if installing:
        names = [name.strip() for name in installing[-1].split(",")]
        there = _installed(environment)
        waiting = [name for name in names if canonical(name) not in there]
        return Progress("install", waiting[0] if waiting else "", len(names) - len(waiting), len(names))
    found = [match[1] for line in lines if (match := COLLECTING.match(line))]
    if found:
        fetched = [match[1] for line in lines if (match := DOWNLOADING.match(line)) and ".metadata" not in line]
        # The newest one is still on its way.
        done = max(len(set(map(canonical, fetched))) - 1, 0)
        newest = canonical(fetched[-1]) if fetched else found[-1]
        return Progress("download", newest, done, len(set(found)), downloaded_bytes(environment))
    return Progress("make" if any(line.startswith("Making ") for line in lines) else "start")


def downloaded_bytes(environment: Environment) -> int:
    """Bytes of the packages that wait to be installed; pip keeps a second copy of each for a moment, for its cache."""
    total = 0
    for path in (environment.folder / DOWNLOADS).glob("pip-unpack-*/*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # pip has just taken it away.
    return total


def takes_default_torch(lines: Sequence[str]) -> bool:
    """True when PyTorch's own index could not be reached, so that another build than the planned one comes."""
    return any(OTHER_TORCH in line for line in lines)


def closing_words(lines: Sequence[str]) -> tuple[str, str]:
    """What a set-up that failed says last: what is wrong, and why.

    The reason is what pip calls an error, or the indented lines below the last sentence.
    """
    said = [line for line in lines if line.strip()]
    at = next((index for index in range(len(said) - 1, -1, -1) if not said[index].startswith(" ")), None)
    if at is None:
        return "", ""
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    below = [line.strip() for line in said[at + 1 :]]
    return said[at], " ".join(dict.fromkeys(errors[-2:] or below[:1]))


def _installed(environment: Environment) -> set[str]:
    # pip writes RECORD last.
    folders = [record.parent for record in packages_folder(environment).glob("*.dist-info/RECORD")]
    return {canonical(folder.name.removesuffix(".dist-info").rpartition("-")[0]) for folder in folders}
