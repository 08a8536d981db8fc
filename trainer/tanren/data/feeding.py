"""Hands out prepared batches in order: at once, from a thread, or from worker processes.

The result is the same each way. At most a few batches are prepared ahead, a batch that does not come within two minutes
or whose worker dies is an error that names its pictures, and workers end with their parent.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

# Registers how tensors travel between processes: in shared memory, not copied through pipes.
import torch.multiprocessing

from ..errors import DataError, OutOfMemory, UserError
from .batch import Batch
from .order import BatchPlan
from .samples import BadPicture, Samples

PATIENCE = 120.0
AHEAD = 2
PARENT_CHECK = 2.0


class Item(NamedTuple):
    """One batch to prepare.

    Args:
        plan: its pictures.
        number: its place in the epoch of this process.
        step: optimizer steps before it.
        prepare: what is made of the batch; the second argument is `number`.
    """

    plan: BatchPlan
    number: int
    step: int
    prepare: Callable[[Batch, int], Any]


@dataclass
class Fed:
    """A prepared batch, or the problem with it; errors of ours travel as ordinary exceptions."""

    result: Any
    bad: list[BadPicture]
    problem: tuple[type[UserError], dict[str, str]] | None = None


def prepare_item(samples: Samples, item: Item) -> Fed:
    """Load and prepare one batch."""
    try:
        batch, bad = samples.load(item.plan, item.step)
    except UserError as error:
        return Fed(None, [], (type(error), {name: getattr(error, name) for name in ("what", "fix", "where", "why")}))
    return Fed(item.prepare(batch, item.number), bad)


def in_turn(samples: Samples, items: Iterable[Item]) -> Iterator[Fed]:
    """Each batch when it is asked for."""
    for item in items:
        yield prepare_item(samples, item)


def in_thread(samples: Samples, items: Sequence[Item], ahead: int = AHEAD, patience: float = PATIENCE) -> Iterator[Fed]:
    """Batches from one thread, for when little has to be decoded.

    Raises:
        DataError: a batch did not come in time.
    """
    done: queue.Queue[Fed | BaseException] = queue.Queue(ahead)
    stop = threading.Event()

    def put(value: Fed | BaseException) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                done.put(value, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                if stop.is_set():
                    return
                put(prepare_item(samples, item))
        except BaseException as error:  # noqa: BLE001 - it is raised again where the batch is awaited
            put(error)

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        for item in items:
            try:
                fed = done.get(timeout=patience)
            except queue.Empty:
                raise _too_late(samples, item.plan, patience) from None
            if isinstance(fed, BaseException):
                raise fed
            yield fed
    finally:
        stop.set()
        thread.join(timeout=1.0)


class Workers:
    """Processes that prepare batches; they are forked where that exists and know `samples` as it was then."""

    def __init__(self, samples: Samples, count: int, ahead: int = AHEAD, patience: float = PATIENCE) -> None:
        self._samples, self._count, self._ahead, self._patience = samples, count, ahead, patience
        self._pool = ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context(start_method()),
            initializer=_start_worker,
            initargs=(samples, os.getpid()),
        )

    def feed(self, items: Iterable[Item]) -> Iterator[Fed]:
        """Batches in order.

        Raises:
            DataError: a batch did not come in time.
            OutOfMemory: a worker was killed.
        """
        waiting: deque[tuple[Item, Future[Fed]]] = deque()
        try:
            for item in items:
                waiting.append((item, self._submit(item)))
                if len(waiting) > self._ahead * self._count:
                    yield self._await(*waiting.popleft())
            while waiting:
                yield self._await(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the processes, also those that hang."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + 5.0
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join(5.0)

    def _submit(self, item: Item) -> Future[Fed]:
        try:
            return self._pool.submit(_work, item)
        except BrokenProcessPool:
            raise _died(self._samples, item.plan) from None

    def _await(self, item: Item, future: Future[Fed]) -> Fed:
        try:
            return future.result(timeout=self._patience)
        except FutureTimeout:
            raise _too_late(self._samples, item.plan, self._patience) from None
        except BrokenProcessPool:
            raise _died(self._samples, item.plan) from None


def start_method() -> str:
    """`fork` where it exists, because it needs no copy of the records."""
    return "fork" if "fork" in multiprocessing.get_all_start_methods() and os.name == "posix" else "spawn"


# Set once in each worker; the parent's stays empty.
_samples_of_this_worker: list[Samples] = []


def _start_worker(samples: Samples, parent: int) -> None:
    # Ctrl-C reaches the whole group; the trainer alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    _samples_of_this_worker[:] = [samples]
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK)
    os._exit(1)


def _work(item: Item) -> Fed:
    return prepare_item(_samples_of_this_worker[0], item)


def _names(samples: Samples, plan: BatchPlan) -> str:
    images = samples.images(plan)
    return ", ".join(images[place].path for place, _ in plan.samples)


def _too_late(samples: Samples, plan: BatchPlan, patience: float) -> DataError:
    return DataError(
        where=_names(samples, plan),
        what=f"A batch was not ready after {patience:.0f} seconds.",
        why="The disk or network drive with the pictures does not answer, or a decoder hangs.",
        fix="Check the drive, or use --max_data_loader_n_workers=0 to see where it stops.",
    )


def _died(samples: Samples, plan: BatchPlan) -> OutOfMemory:
    return OutOfMemory(
        where=_names(samples, plan),
        what="A process that prepares batches was killed.",
        why="Most often main memory was full; the pictures named here were being read.",
        fix="Use a smaller --max_data_loader_n_workers.",
    )
