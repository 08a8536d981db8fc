"""The exact versions in `pins.txt`, the one file that says what the trainer's environment holds.

A line is `name==version`, optionally with a marker on `python_version`; a line `# [name]` opens a section. The
trainer's section is always installed, the others on request; what stands under "needed by these" only fixes versions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TRAINER = "trainer"
INDIRECT = "needed by these"


@dataclass(frozen=True)
class Pin:
    """One exact version, for the Pythons from `low` up to but not including `high`."""

    name: str
    version: str
    low: tuple[int, int] = (0, 0)
    high: tuple[int, int] = (99, 0)


@dataclass(frozen=True)
class Pins:
    """What `pins.txt` says: sections of package names that are asked for by name, and the hash of the whole file."""

    path: Path
    sections: dict[str, tuple[Pin, ...]]
    hash: str

    def names(self, sections: Iterable[str]) -> list[str]:
        """Names to install for these sections, each once."""
        return sorted({pin.name for section in sections for pin in self.sections[section]})

    def versions(self, sections: Iterable[str], python: tuple[int, int]) -> dict[str, str]:
        """Name to version for this Python."""
        pins = [pin for section in sections for pin in self.sections[section]]
        return {pin.name: pin.version for pin in pins if pin.low <= python < pin.high}


def read_pins(path: Path) -> Pins:
    """The pin file; markers may compare `python_version` with >= and <."""
    sections: dict[str, list[Pin]] = {}
    current: list[Pin] = []
    data = path.read_bytes()
    for line in data.decode("utf-8").splitlines():
        heading = re.fullmatch(r"# \[(.+)\]", line)
        if heading:
            current = sections.setdefault(heading[1], [])
        elif line and not line.startswith("#"):
            current.append(_pin(line))
    return Pins(path, {name: tuple(pins) for name, pins in sections.items()}, hashlib.sha256(data).hexdigest()[:16])


def _pin(line: str) -> Pin:
    requirement, _, marker = line.partition(";")
    name, _, version = requirement.strip().partition("==")
    limits = {sign: _version_pair(number) for sign, number in re.findall(r'python_version (>=|<) "([\d.]+)"', marker)}
    return Pin(name, version, limits.get(">=", (0, 0)), limits.get("<", (99, 0)))


def _version_pair(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


def canonical(name: str) -> str:
    """A package name as indexes and installers compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
