"""Text states that are computed once per caption and text encoder."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load, save

from ..errors import NumericError
from ..events import Report
from .batch import TextStates
from .cache_pass import Crew, forget_damaged
from .store import DiskStore, Entry, MemoryStore, Store

CACHE_VERSION = 1


class TextCache:
    """Text states by caption.

    Args:
        folder: the cache folder; None keeps everything in memory.
        trusting: do not hold what later runs find against its checksum.
        fingerprint: names the text encoders, their number type, and everything that changes what they say: clip skip,
            length, weights in captions.
    """

    def __init__(self, folder: Path | None, fingerprint: str, *, trusting: bool = False) -> None:
        self.folder, self.trusting = folder, trusting
        self._pack = f"text-{hashlib.sha256(f'{CACHE_VERSION}{fingerprint}'.encode()).hexdigest()[:16]}"
        self._entries: dict[bytes, Entry] = {}
        self._buffer: mmap.mmap | None = None

    def fill(
        self,
        captions: Iterable[str],
        encode: Callable[[list[str]], TextStates],
        batch_size: int,
        report: Report,
        crew: Crew,
    ) -> None:
        """Encode the captions that are missing.

        Raises:
            NumericError: a text encoder gave NaN or infinity.
        """
        store: Store = MemoryStore() if self.folder is None else DiskStore(self.folder, self._pack)
        crew = Crew() if self.folder is None else crew
        by_key = {_key(caption): caption for caption in sorted(set(captions))}
        damaged = forget_damaged(store, by_key, trusting=self.trusting)
        known = store.entries()
        missing = [caption for key, caption in by_key.items() if key not in known]
        crew.wait()
        share = crew.share(missing)
        with report.phase("cache text", len(share)) as phase:
            for start in range(0, len(share), batch_size):
                batch = list(share[start : start + batch_size])
                store.add(list(zip(map(_key, batch), _values(batch, encode(batch)), strict=True)))
                phase.advance(len(batch))
        if len(missing) < len(by_key) or damaged:
            report.note(
                f"Text cache: {len(by_key) - len(missing)} of {len(by_key)} captions were there, "
                f"{len(missing)} were encoded ({damaged} damaged values)."
            )
        crew.wait()
        self._entries = {key: entry for key, entry in store.entries().items() if key in by_key}
        self._buffer = store.buffer()

    def states(self, captions: Sequence[str]) -> TextStates:
        """Text states of B captions that were filled in; KeyError for others."""
        assert self._buffer is not None, "the cache was not filled"
        values = []
        for caption in captions:
            start, length, _ = self._entries[_key(caption)]
            values.append(load(self._buffer[start : start + length]))
        pooled = torch.stack([value["pooled"] for value in values]) if "pooled" in values[0] else None
        return TextStates(torch.stack([value["hidden"] for value in values]), pooled)

    def __getstate__(self) -> dict[str, object]:
        # Spawned workers map the pack again; what is in memory cannot be sent.
        assert self.folder is not None, "a cache in memory stays in its process"
        return {**self.__dict__, "_buffer": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        assert self.folder is not None
        self._buffer = DiskStore(self.folder, self._pack).buffer()


def _key(caption: str) -> bytes:
    return hashlib.sha256(caption.encode("utf-8", "surrogatepass")).digest()


def _values(captions: Sequence[str], states: TextStates) -> list[bytes]:
    values = []
    for index, caption in enumerate(captions):
        tensors = {"hidden": states.hidden[index]}
        if states.pooled is not None:
            tensors["pooled"] = states.pooled[index]
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise NumericError(
                where=caption or "the empty caption",
                what="The text encoder made NaN or infinity of this caption.",
                fix="Use --mixed_precision=bf16 or no.",
            )
        values.append(save(tensors))
    return values
