"""One line of the library's table, made from a file, and kept in the index as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..formats.safetensors_header import Header
from .look import Look, look_at
from .plain_text import one_line

MAX_TAGS = 40
MAX_TEXT = 300
SAMPLES, SAMPLE_BYTES = 16, 4096
SAFETENSORS, PICKLES = ".safetensors", (".pt", ".ckpt")
NOT_OPENED = "A PyTorch file: what is in it is known only when it is opened, which is not done here."
_FOR_SEARCH = (
    *("modelspec.title", "modelspec.author", "modelspec.description", "ssmd_display_name", "ssmd_keywords"),
    *("ssmd_tags", "modelspec.tags", "ss_training_comment", "ss_sd_model_name"),
)


@dataclass(frozen=True)
class Row:
    """One file of the library.

    Args:
        path: the file.
        state: sizes and times of the file and of what lies beside it; another state means that it has to be read anew.
        size: bytes.
        modified: unix time of the file.
        alias: what hosts call it.
        family, type, trainer, date: as in `Look`; empty or "unknown" where nothing tells.
        ranks: for people; rank is the largest one, 0 where there is none.
        tags: the most frequent ones.
        words: trigger words.
        text: further texts for the search.
        filed: host -> its word for the base model.
        has_metadata: False for files that say nothing about themselves.
        fingerprint: of samples of the tensors; equal for copies of the same tensors.
        preview: the picture beside it, or empty.
        problem: why the file cannot be read; empty when all is well.
    """

    path: str
    state: str
    size: int = 0
    modified: float = 0.0
    alias: str = ""
    family: str = "unknown"
    type: str = "unknown"
    trainer: str = ""
    date: str = ""
    ranks: str = ""
    rank: int = 0
    tags: tuple[str, ...] = ()
    words: str = ""
    text: str = ""
    filed: dict[str, str] = dataclasses.field(default_factory=dict)
    has_metadata: bool = False
    fingerprint: str = ""
    preview: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


FIELDS = tuple(one.name for one in dataclasses.fields(Row))


def row_of(path: Path, state: str, size: int, modified: float) -> Row:
    """Read one file; a file that cannot be read becomes a row with its reason."""
    bare = Row(str(path), state, size, modified, alias=path.stem)
    if path.suffix.lower() in PICKLES:
        return dataclasses.replace(bare, problem=NOT_OPENED)
    try:
        look = look_at(path)
        fingerprint = fingerprint_of(path, look.header)
    except ModelFileError as problem:
        return dataclasses.replace(bare, problem=one_line(problem.what, MAX_TEXT))
    except OSError as error:
        return dataclasses.replace(bare, problem=f"It cannot be read: {error.strerror}.")
    return _filled(bare, look, fingerprint)


def fingerprint_of(path: Path, header: Header) -> str:
    """Hash of the tensors' table and of 16 samples of 4 KiB of their bytes: quick, and different for other weights.

    Copies of the same tensors have the same one whatever their metadata are. `hashes.tensor_hash` reads every byte
    where it must be certain.
    """
    table = [f"{name} {one.dtype} {one.begin} {one.end}" for name, one in header.tensors.items()]
    digest = hashlib.sha256("\n".join(sorted(table)).encode("utf-8"))
    room = max(header.payload_bytes - SAMPLE_BYTES, 0)
    with path.open("rb", buffering=0) as file:
        for number in range(SAMPLES):
            file.seek(header.payload_offset + room * number // max(SAMPLES - 1, 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:32]


def to_json(row: Row) -> list[Any]:
    """The values in the order of `FIELDS`: names for each of 5,000 rows would double the index."""
    return [getattr(row, name) for name in FIELDS]


def from_json(values: list[Any]) -> Row:
    """The row again.

    Raises:
        TypeError, ValueError: not what `to_json` wrote.
    """
    named = dict(zip(FIELDS, values, strict=True))
    if not isinstance(named["path"], str) or not isinstance(named["filed"], dict):
        raise TypeError("not a row")
    return Row(**{**named, "tags": tuple(named["tags"])})


def _filled(bare: Row, look: Look, fingerprint: str) -> Row:
    parts = look.kind.by_part()
    ranks = [rank for part in parts.values() for rank in part.ranks]
    preview = look.beside.preview
    return dataclasses.replace(
        bare,
        alias=one_line(look.alias, MAX_TEXT),
        family=look.family,
        type="dora" if look.kind.has_dora else look.kind.type,
        trainer=look.trainer,
        date=one_line(look.date, 20),
        ranks=next(iter(parts.values())).text if parts else "",
        rank=max(ranks, default=0),
        tags=tuple(one_line(tag, 80) for tag in list(look.tags.total)[:MAX_TAGS]),
        words=one_line(", ".join(one.words for one in look.triggers), MAX_TEXT),
        text=one_line(" ".join(look.metadata.get(key, "")[:MAX_TEXT] for key in _FOR_SEARCH), 5 * MAX_TEXT),
        filed={one.host: one.version for one in look.filed},
        has_metadata=bool(look.metadata),
        fingerprint=fingerprint,
        preview=str(preview) if preview else "",
    )
