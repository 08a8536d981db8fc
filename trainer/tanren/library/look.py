"""Everything about one file for a page or a terminal: derived kind, metadata, tags, tables, what lies beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ModelFileError
from ..formats.lora_card import UNKNOWN as UNKNOWN_WORD
from ..formats.lora_card import sd_version
from ..formats.network_family import TITLES as FAMILIES
from ..formats.network_family import UNKNOWN
from ..formats.network_kind import NetworkKind, network_kind, read_alphas
from ..formats.safetensors_header import HEADER_LIMIT, Header, read_header
from .filing import Filed, alias_of, filed_by_hosts
from .origin import trainer_of
from .plain_text import plain
from .sidecar import Beside, read_beside
from .tag_table import TagTable, Trigger, tag_table, triggers
from .values import moment_of

FAMILY_OF_WORD = {"SD1": "sd1", "SD2": "sd2", "SDXL": "sdxl", "SD3": "sd3", "Flux": "flux"}
DERIVED, SAID = "derived", "metadata"


@dataclass(frozen=True)
class Stamp:
    """Size, time and identity of a file when it was looked at; another stamp means that somebody changed it."""

    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True)
class Look:
    """One file, looked at.

    Args:
        path: the file.
        stamp: as it was.
        header: metadata and tensors.
        kind: derived from names and shapes.
        family: the family for people and filters: derived where names tell it, else what the metadata say.
        family_source: "derived", "metadata" or "" for an unknown one.
        beside: what lies beside the file.
        warnings: sentences about contradictions and unreadable values.
    """

    path: Path
    stamp: Stamp
    header: Header
    kind: NetworkKind
    family: str
    family_source: str
    beside: Beside
    warnings: tuple[str, ...] = ()

    @property
    def metadata(self) -> dict[str, str]:
        """Texts of the header."""
        return self.header.metadata

    @property
    def alias(self) -> str:
        """What a host calls the file in prompts."""
        return alias_of(self.metadata, self.path.stem)

    @property
    def family_title(self) -> str:
        """For people: "SDXL", "unknown"."""
        return FAMILIES.get(self.family, self.family)

    @property
    def trainer(self) -> str:
        """The program that made it; empty when nothing tells."""
        return trainer_of(self.metadata, self.kind.naming)

    @property
    def filed(self) -> tuple[Filed, ...]:
        """How each host files it."""
        return filed_by_hosts(self.metadata, self.beside.host, self.family)

    @property
    def tags(self) -> TagTable:
        """Tags by frequency."""
        return tag_table(self.metadata)

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """Words that call the concept."""
        return triggers(self.metadata, self.tags, self.beside.for_triggers)

    @property
    def date(self) -> str:
        """When it was trained, from ModelSpec or kohya's times; empty when neither says."""
        return self.metadata.get("modelspec.date", "")[:16].replace("T", " ") or (
            moment_of(self.metadata.get("ss_training_finished_at"))
            or moment_of(self.metadata.get("ss_training_started_at"))
            or ""
        )

    @property
    def summary(self) -> str:
        """One line: name, family, type, ranks per part, trainer, date, size."""
        parts = [self.alias, self.family_title, self.kind.type_title]
        ranks = {part: ranks.text for part, ranks in self.kind.by_part().items()}
        if len(set(ranks.values())) == 1:
            parts.append(next(iter(ranks.values())))
        else:
            parts += [f"{part} {text}" for part, text in ranks.items()]
        parts += [word for word in (self.trainer, self.date) if word]
        return " · ".join([*parts, size_text(self.stamp.size)])


def look_at(
    path: Path,
    *,
    limit: int = HEADER_LIMIT,
    beside: bool = True,
    alphas: bool = True,
    kind_of: Callable[[Mapping[str, Sequence[int]]], NetworkKind] = network_kind,
) -> Look:
    """Look at a file: its header, a few bytes per alpha and the small files beside it; never the tensors.

    Args:
        path: a .safetensors file.
        limit: largest header accepted, in bytes.
        beside: also read what lies beside it.
        alphas: also read the alphas, which lie all over the file.
        kind_of: tells the kind from names and shapes where alphas are not read; a memory, for many files.

    Raises:
        ModelFileError: the file is damaged or of another kind.
    """
    header = read_header(path, limit=limit)
    try:
        stamp, stored = stamp_of(path), read_alphas(path, header) if alphas else None
    except OSError as error:
        raise ModelFileError(
            where=str(path), what="The file vanished while it was read.", why=str(error.strerror), fix="Look again."
        ) from error
    shapes = {name: entry.shape for name, entry in header.tensors.items()}
    kind = kind_of(shapes) if stored is None else network_kind(shapes, stored)
    family, source, warnings = _family(kind, header.metadata)
    found = read_beside(path) if beside else Beside()
    return Look(path, stamp, header, kind, family, source, found, (*warnings, *_doubts(kind), *found.problems))


def _doubts(kind: NetworkKind) -> list[str]:
    """What the header and the alphas show to be wrong, without a look at the weights."""
    odd = [layer.name for layer in kind.layers if layer.alpha is not None and not math.isfinite(layer.alpha)]
    lines = [f"The alpha of {len(odd)} layers is not finite, first {plain(odd[0], 100)}."] if odd else []
    if kind.misfits:
        first = plain(kind.misfits[0], 100)
        lines.append(f"The tensors of {len(kind.misfits)} layers do not fit together, first {first}.")
    return lines


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file as it is now."""
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def size_text(size: int) -> str:
    """Bytes for people: "144 MB", "12 kB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def _family(kind: NetworkKind, metadata: Mapping[str, str]) -> tuple[str, str, tuple[str, ...]]:
    word = sd_version(metadata)
    said = FAMILY_OF_WORD.get(word, UNKNOWN)
    if kind.family == UNKNOWN:
        return said, SAID if said != UNKNOWN else "", ()
    if word != UNKNOWN_WORD and said != kind.family and not _are_related(said, kind.family):
        wrong = f"The metadata say {FAMILIES[said]}, but the tensors are those of {FAMILIES[kind.family]}."
        return kind.family, DERIVED, (wrong,)
    return kind.family, DERIVED, ()


def _are_related(said: str, derived: str) -> bool:
    """The hosts' words know no refiner and no Chroma."""
    return (said, derived) in (("sdxl", "sdxl_refiner"), ("flux", "chroma"))
