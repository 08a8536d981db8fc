"""Makes every cached value that is missing, once, however many processes take part."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ..errors import UserError
from .store import Store

Item = TypeVar("Item")
Result = TypeVar("Result")


def _at_once() -> None:
    """A single process has nobody to wait for."""


def _alone(found: list[UserError]) -> list[list[UserError]]:
    return [found]


@dataclass(frozen=True)
class Crew:
    """The processes that fill a cache together.

    Args:
        index, count: number `index` of `count` that see the same files.
        wait: returns when all processes of the run have called it.
        gather: the problems of all processes of the run, in the same order in each.
    """

    index: int = 0
    count: int = 1
    wait: Callable[[], None] = _at_once
    gather: Callable[[list[UserError]], list[list[UserError]]] = _alone

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every count-th item: sample i belongs to process i mod n."""
        return items[self.index :: self.count]


def forget_damaged(store: Store, keys: Iterable[bytes], *, trusting: bool = False) -> int:
    """Check the bytes of values against their checksums and forget those that do not agree; says how many.

    Args:
        store: where they are kept.
        keys: the values that are going to be used.
        trusting: look only whether the bytes are there at all, which does not read them.
    """
    entries, buffer = store.entries(), store.buffer()
    damaged = []
    with memoryview(buffer) as view:
        for key in set(keys):
            entry = entries.get(key)
            if entry is None:
                continue
            value = view[entry.start : entry.start + entry.length]
            if len(value) < entry.length or not (trusting or zlib.crc32(value) == entry.checksum):
                damaged.append(key)
    if damaged:
        store.forget(damaged)
    return len(damaged)


def ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int, depth: int) -> Iterator[Result]:
    """Results in the order of the items, computed by threads up to `depth` items ahead."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        waiting: list[Future[Result]] = []
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > depth:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()
