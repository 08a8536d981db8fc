"""One line of the library's table, made from a file, and kept in the index as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelFileError
from ..formats.network_kind import NetworkKind, network_kind
from .filing import FILED_AS
from .look import Look, look_at
from .plain_text import one_line

MAX_TAGS = 40
MAX_TEXT = 300
TABLES_KEPT = 16
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
        ranks: for people, "4–32"; rank is the largest one, 0 where there is none.
        tags: the most frequent ones.
        words: trigger words.
        text: further texts for the search.
        filed: host -> its word for the base model.
        has_metadata: False for files that say nothing about themselves.
        doubt: the first thing about it that contradicts something else; empty when all is well.
        payload: bytes of the tensors.
        samples: hash of some of their bytes; empty until somebody asked for duplicates.
        tensors: hash of all of them; empty unless another file has the same samples.
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
    doubt: str = ""
    payload: int = 0
    samples: str = ""
    tensors: str = ""
    preview: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


FIELDS = tuple(one.name for one in dataclasses.fields(Row))


KindOf = Callable[[Mapping[str, Sequence[int]]], NetworkKind]


class KindMemory:
    """Kinds of the tables of tensors that were seen last: files of one trainer and one rank have the same table."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, Sequence[int]], ...], NetworkKind] = {}

    def __call__(self, shapes: Mapping[str, Sequence[int]]) -> NetworkKind:
        """The kind, without alphas."""
        table = tuple(shapes.items())
        kind = self._known.pop(table, None)
        self._known[table] = network_kind(shapes) if kind is None else kind
        if len(self._known) > TABLES_KEPT:
            del self._known[next(iter(self._known))]
        return self._known[table]


def row_of(path: Path, state: str, size: int, modified: float, kind_of: KindOf = network_kind) -> Row:
    """Read the header of one file; a file that cannot be read becomes a row with its reason."""
    bare = Row(str(path), state, size, modified, alias=path.stem)
    if path.suffix.lower() in PICKLES:
        return dataclasses.replace(bare, problem=NOT_OPENED)
    try:
        look = look_at(path, alphas=False, kind_of=kind_of)
    except ModelFileError as problem:
        return dataclasses.replace(bare, problem=one_line(problem.what, MAX_TEXT))
    except OSError as error:
        return dataclasses.replace(bare, problem=f"It cannot be read: {error.strerror}.")
    return _filled(bare, look)


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


def _filled(bare: Row, look: Look) -> Row:
    ranks = {layer.rank for layer in look.kind.layers if layer.rank is not None}
    preview = look.beside.preview
    return dataclasses.replace(
        bare,
        alias=one_line(look.alias, MAX_TEXT),
        family=look.family,
        type="dora" if look.kind.has_dora else look.kind.type,
        trainer=look.trainer,
        date=one_line(look.date, 20),
        ranks=_span(ranks),
        rank=max(ranks, default=0),
        tags=tuple(one_line(tag, 80) for tag in list(look.tags.total)[:MAX_TAGS]),
        words=one_line(", ".join(one.words for one in look.triggers), MAX_TEXT),
        text=one_line(" ".join(look.metadata.get(key, "")[:MAX_TEXT] for key in _FOR_SEARCH), 5 * MAX_TEXT),
        filed={one.host: one.version for one in look.filed},
        has_metadata=bool(look.metadata),
        doubt=one_line(_doubt(look), MAX_TEXT),
        payload=look.header.payload_bytes,
        preview=str(preview) if preview else "",
    )


def _span(ranks: set[int]) -> str:
    if len(ranks) < 2:
        return "".join(map(str, ranks))
    return f"{min(ranks)}–{max(ranks)}"


def _doubt(look: Look) -> str:
    """What people look for when a file does not do what they expect."""
    wrong = [one for one in look.filed if not one.is_right]
    filed = FILED_AS.format(host=wrong[0].host, word=wrong[0].version, family=look.family_title) if wrong else ""
    return next((text for text in (*look.warnings, filed) if text), "")
