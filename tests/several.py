"""Several real processes that train together, forked from the test, which makes them quick to start."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from accelerate.state import AcceleratorState
from tanren.errors import UserError
from torch.distributed import TCPStore

PATIENCE = 120.0


@dataclass(frozen=True)
class Raised:
    """An exception of another process; those with keywords cannot travel themselves.

    Args:
        kind: its class.
        text: as the user sees it.
        told: each problem as its fields, for the errors that have them.
    """

    kind: type[BaseException]
    text: str
    told: list[dict[str, Any]]


def run_several(
    work: Callable[[int], Any], count: int = 2, patience: float = PATIENCE, *, has_launcher: bool = True
) -> list[Any]:
    """What `work` returns in each process, called with its number; what it raises is returned as `Raised`.

    The test is their launcher: it holds the store by which they find each other. Without one they were started by hand,
    with the same variables, and the first of them holds it. A process that ends without a word returns its exit code.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=patience))
    port = store.port if has_launcher else _free_port()
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    launched = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    launched["TORCHELASTIC_USE_AGENT_STORE"] = str(has_launcher)
    processes = [
        context.Process(target=_begin, args=(work, index, launched, pipes[index][1])) for index in range(count)
    ]
    for process in processes:
        process.start()
    until = time.monotonic() + patience
    try:
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
        assert not any(process.is_alive() for process in processes), "they hang"
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [
        pipe.recv() if pipe.poll() else process.exitcode for (pipe, _), process in zip(pipes, processes, strict=True)
    ]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _begin(work: Callable[[int], Any], index: int, launched: dict[str, str], pipe: Any) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    own = {"RANK": str(index), "LOCAL_RANK": str(index)}
    os.environ.update({**launched, **own, "ACCELERATE_USE_CPU": "true"})
    try:
        result = work(index)
    except BaseException as error:  # noqa: BLE001 - the test looks at every kind
        traceback.print_exc()
        parts = getattr(error, "problems", [error])
        told = [part.as_dict() for part in parts if isinstance(part, UserError)]
        result = Raised(type(error), str(error), told)
    pipe.send(result)
    pipe.close()
    # Without the exit handlers of the test runner, which this process inherited.
    os._exit(0)
