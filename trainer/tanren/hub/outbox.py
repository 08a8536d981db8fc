"""What waits to be uploaded: one queue in the order of saving, worked off by a thread, one at a time.

Nothing is raised into the training. A result that waits while training goes on is held by a second name (a hard link),
so that the rules that remove older results cannot take it away; only a few are, because that keeps their bytes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..disk import TEMP_PREFIX
from .place import Repository
from .request import Answer, Limits, ask

SILENCE_SECONDS = 120.0
SLOWEST_BYTES_PER_SECOND = 32 * 1024
MOST_HELD = 3
Send = Callable[["Parcel", Callable[[int], None], Callable[[], bool]], Answer]


@dataclass
class Parcel:
    """One result on its way.

    Args:
        source: file or folder, as it was saved.
        held: its second name, while it has one.
        answer: what came of the last attempt; None before it.
        attempts: that were made.
        percent: of the running one.
        is_told: the user knows what came of it.
    """

    source: Path
    held: Path | None = None
    answer: Answer | None = None
    attempts: int = 0
    percent: int = 0
    is_told: bool = field(default=False)

    @property
    def is_sent(self) -> bool:
        """True when the hub has it."""
        return self.answer is not None and self.answer.is_done

    def files(self) -> list[tuple[str, Path]]:
        """(name under that of the source, with `/`; where its bytes are) of every file."""
        root = self.held if self.held is not None and self.held.exists() else self.source
        if root.is_dir():
            found = sorted(file for file in root.rglob("*") if file.is_file())
            return [(f"{self.source.name}/{file.relative_to(root).as_posix()}", file) for file in found]
        return [(self.source.name, root)] if root.is_file() else []


class Outbox:
    """The queue and its thread; use `close` at the end.

    Args:
        send: uploads one parcel; called in the thread.
    """

    def __init__(self, send: Send) -> None:
        self.parcels: list[Parcel] = []
        self._send = send
        self._waiting: list[Parcel] = []
        self._present: Parcel | None = None
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """True while something waits or is being sent."""
        with self._changed:
            return bool(self._waiting) or self._present is not None

    @property
    def percent(self) -> int:
        """How far everything is, 100 for each parcel."""
        with self._changed:
            open_ones = {id(one) for one in self._waiting}
            return sum(one.percent if one is self._present else 100 for one in self.parcels if id(one) not in open_ones)

    def add(self, source: Path, *, hold: bool) -> Parcel:
        """Put a result at the end of the queue; `hold` keeps it while it waits."""
        parcel = Parcel(source, _second_name(source) if hold else None)
        with self._changed:
            self.parcels.append(parcel)
            self._waiting.append(parcel)
            for one in [one for one in self._waiting if one.held is not None][:-MOST_HELD]:
                _let_go(one)
            self._changed.notify_all()
        return parcel

    def try_again(self) -> None:
        """Queue once more what failed for a reason that may have passed, where it still exists."""
        with self._changed:
            again = [one for one in self.parcels if one.answer is not None and one.answer.may_pass and one.files()]
            for parcel in again:
                parcel.answer, parcel.is_told, parcel.percent = None, False, 0
            self._waiting += [one for one in again if one not in self._waiting]
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Return after that time, or earlier when something has changed."""
        with self._changed:
            self._changed.wait(seconds)

    def close(self) -> None:
        """Give up what is not sent; returns when the thread has ended."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()
        for parcel in self.parcels:
            _let_go(parcel)

    def _work(self) -> None:
        while (parcel := self._next()) is not None:
            parcel.attempts += 1
            answer = self._send(parcel, partial(self._note, parcel), lambda: self._is_closed)
            with self._changed:
                parcel.answer, self._present = answer, None
                _let_go(parcel)
                self._changed.notify_all()

    def _next(self) -> Parcel | None:
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            self._present = None if self._is_closed else self._waiting.pop(0)
            return self._present

    def _note(self, parcel: Parcel, percent: int) -> None:
        with self._changed:
            # Several bars may follow each other; what was reached once is not taken back.
            parcel.percent = max(parcel.percent, min(percent, 100))
            self._changed.notify_all()


def sender(repository: Repository, environment: Mapping[str, str]) -> Send:
    """What uploads a parcel, with limits that a line of a quarter of a megabit a second keeps."""

    def send(parcel: Parcel, on_percent: Callable[[int], None], is_cancelled: Callable[[], bool]) -> Answer:
        files = parcel.files()
        if not files:
            return Answer("gone", text="It is not there any more: a newer one took its place before its turn came.")
        request = {
            "do": "upload",
            "repo_id": repository.repo_id,
            "kind": repository.kind,
            "private": repository.is_private,
            "files": [(repository.path_of(name), str(path.absolute())) for name, path in files],
            "message": f"Upload {parcel.source.name}",
        }
        limits = Limits(SILENCE_SECONDS, SILENCE_SECONDS + _size(files) / SLOWEST_BYTES_PER_SECOND)
        return ask(request, environment, limits, on_percent=on_percent, is_cancelled=is_cancelled)

    return send


def _size(files: Sequence[tuple[str, Path]]) -> int:
    total = 0
    for _, path in files:
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _second_name(source: Path) -> Path | None:
    """Hard links beside the source, under a name that is swept after a crash; None where there are no such links."""
    tag = f"{TEMP_PREFIX}{secrets.token_hex(4)}"
    held = source.parent / (f"{tag}.part" if source.is_dir() else f"{tag}.tmp")
    try:
        if source.is_dir():
            shutil.copytree(source, held, copy_function=os.link)
        else:
            os.link(source, held)
    except OSError:
        # Also shutil.Error. Without links the upload takes the result where it lies.
        shutil.rmtree(held, ignore_errors=True)
        return None
    return held


def _let_go(parcel: Parcel) -> None:
    held, parcel.held = parcel.held, None
    if held is None:
        return
    with contextlib.suppress(OSError):
        if held.is_dir():
            shutil.rmtree(held)
        else:
            held.unlink()
