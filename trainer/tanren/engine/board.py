"""What the processes of a run leave for each other to read: why one of them ended, how far each is, what it warns of.

It lies in the key-value store that the launcher keeps for `torch.distributed`, so it can be read and written while
messages between the processes hang or fail.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from .. import errors
from ..errors import SeveralProblems, StoppedOnRequest, UserError
from ..events import Event

ANSWER_WITHIN = timedelta(seconds=20)
MOST_SAID = 200
ENDING = "ending"


class FaultElsewhere(Exception):
    """A fault of ours in another process."""


@dataclass(frozen=True)
class Ending:
    """Why a process ended.

    Args:
        index: which one.
        kind: "problem", "stopped" or "fault".
        problems: of `UserError.as_dict`, each.
        text: of the other kinds.
        trace: of a fault.
    """

    index: int
    kind: str
    problems: tuple[dict[str, Any], ...] = ()
    text: str = ""
    trace: str = ""

    def as_exception(self, count: int) -> Exception:
        """What the other processes end with."""
        who = name_of(self.index, count)
        if self.kind == "stopped":
            return StoppedOnRequest(self.text)
        if self.kind == "problem":
            found = [_problem(who, told) for told in self.problems]
            return found[0] if len(found) == 1 else SeveralProblems(found)
        fault = FaultElsewhere(f"{who}: {self.text}")
        fault.__cause__ = RuntimeError(self.trace)
        return fault


@dataclass(frozen=True)
class Mark:
    """How far a process is.

    Args:
        beat: grows while it lives.
        arrivals: messages it has taken part in.
        doing: the phase it is in.
    """

    beat: int
    arrivals: int
    doing: str


class Board:
    """One process's view of the board.

    It holds nothing before `connect`, and for a run of one process, which has nobody to tell.

    Args:
        index, count: which process this is, and of how many.
    """

    def __init__(self, index: int, count: int) -> None:
        self._store: dist.Store | None = None
        self.index, self.count = index, count
        self.arrivals = 0
        self._doing, self._beat, self._said = "start", 0, 0
        self._heard = [0] * count

    def connect(self) -> None:
        """Open the store that the processes found each other by."""
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=ANSWER_WITHIN)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self._store = dist.PrefixStore(f"tanren/{attempt}", store)

    def announce(self, ending: Ending) -> None:
        """Say why this process ends; the first one to say so is the one that counts."""
        if self._store is not None:
            # Where the store is gone too, nobody is left to read it.
            with suppress(RuntimeError):
                self._store.compare_set(ENDING, "", json.dumps(asdict(ending)))

    def ending(self) -> Ending | None:
        """Why the first process ended, if one did."""
        found = self._read(ENDING)
        return None if found is None else Ending(**{**found, "problems": tuple(found["problems"])})

    def mark(self) -> None:
        """Show that this process lives, and how far it is."""
        if self._store is not None:
            self._beat += 1
            mark = Mark(self._beat, self.arrivals, self._doing)
            self._store.set(f"mark/{self.index}", json.dumps(asdict(mark)))

    def marks(self) -> list[Mark | None]:
        """How far each process is; None for one that never showed."""
        found = [self._read(f"mark/{index}") for index in range(self.count)]
        return [None if mark is None else Mark(**mark) for mark in found]

    def note_phase(self, event: Event) -> None:
        """A sink that keeps the name of the phase."""
        if event["kind"] == "phase":
            self._doing = str(event["name"])

    def say(self, event: Event) -> None:
        """A sink that leaves warnings and finished pictures for the main process."""
        if self._store is None or event["kind"] not in ("warning", "sample") or self._said >= MOST_SAID:
            return
        # A warning that cannot be handed on must not end what it warns of.
        with suppress(RuntimeError):
            self._store.set(f"said/{self.index}/{self._said}", json.dumps(event))
            self._said += 1

    def hear(self) -> list[tuple[int, Event]]:
        """What the other processes have said since the last call, with their numbers."""
        heard: list[tuple[int, Event]] = []
        for index in range(self.count):
            while index != self.index and (event := self._read(f"said/{index}/{self._heard[index]}")) is not None:
                self._heard[index] += 1
                heard.append((index, event))
        return heard

    def _read(self, key: str) -> Any:
        if self._store is None:
            return None
        # A store that is gone holds nothing any more.
        with suppress(RuntimeError):
            if self._store.check([key]):
                return json.loads(self._store.get(key))
        return None


NO_BOARD = Board(0, 1)


def name_of(index: int, count: int) -> str:
    """A process as people count them, with the number that launchers give it."""
    return f"process {index + 1} of {count} (rank {index})"


def _is_kind(found: object) -> bool:
    """One of the plain classes of problems, of which each has its exit code."""
    is_problem = isinstance(found, type) and issubclass(found, UserError)
    return is_problem and found not in (UserError, SeveralProblems)


def _problem(who: str, told: dict[str, Any]) -> UserError:
    kinds = {kind.code: kind for kind in vars(errors).values() if _is_kind(kind)}
    where = f"{who}, {told['where']}" if told["where"] else who
    return kinds.get(told["code"], UserError)(where=where, what=told["what"], why=told["why"], fix=told["fix"])
