"""What a job's events tell as a whole: points of its charts, samples, files, warnings."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, median
from typing import Any

from .folder import EVENTS
from .reading import STEP_LINE, event_of, events_of, read_lines_from, tail_events

MOST_POINTS = 5000
MOST_WARNINGS = 200
TAIL_BYTES, SHORT_TAIL_BYTES = 128 * 2**10, 6 * 2**10
Event = Mapping[str, Any]


class History:
    """Samples, files and warnings of a job; each look reads only what is new. Several threads may look.

    Args:
        folder: of the job.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS
        self._guard = threading.Lock()
        self._next = 0
        self._reset()

    def look(self) -> History:
        """Read what is new; returns itself."""
        with self._guard:
            more = True
            while more:
                read = read_lines_from(self._path, self._next)
                if read.next < self._next:
                    self._reset()
                for line in read.lines:
                    # Steps are by far the most lines, and nothing here needs them.
                    event = None if line.startswith(STEP_LINE) else event_of(line)
                    if event is not None:
                        self._take(event)
                self._next, more = read.next, read.more
        return self

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Sample pictures, by prompt and step; a picture that was drawn again after a resume counts once."""
        with self._guard:
            return [self._samples[key] for key in sorted(self._samples)]

    @property
    def files(self) -> list[dict[str, Any]]:
        """Weights in the order in which they were first written."""
        with self._guard:
            return list(self._files.values())

    @property
    def warnings(self) -> list[str]:
        """Each warning once, the newest last."""
        with self._guard:
            return list(self._warnings)[-MOST_WARNINGS:]

    def _reset(self) -> None:
        self._next, self._epochs = 0, (0, 0)
        self._samples: dict[tuple[int, int, float], dict[str, Any]] = {}
        self._files: dict[str, dict[str, Any]] = {}
        self._warnings: dict[str, None] = {}

    def _take(self, event: Event) -> None:
        kind = event["kind"]
        if kind == "epoch":
            self._epochs = _whole(event.get("epoch")), _whole(event.get("step"))
        elif kind == "warning":
            self._warnings[str(event.get("text"))] = None
        elif kind == "saved":
            path = str(event.get("file"))
            facts = {"path": path, "step": _whole(event.get("step")), "epoch": _whole(event.get("epoch"))}
            self._files[path] = {**facts, "time": event.get("time")}
        elif kind == "sample":
            step, index = _whole(event.get("step")), _whole(event.get("index"))
            epochs, at_step = self._epochs
            strength, control = _number(event.get("strength")), event.get("control")
            self._samples[index, step, 1.0 if strength is None else strength] = {
                "path": str(event.get("file")),
                "step": step,
                # A picture after an epoch belongs to it, one between two to the epoch under way.
                "epoch": epochs if step == at_step else epochs + 1,
                "prompt": str(event.get("prompt", "")),
                "seed": event.get("seed"),
                "index": index,
                **({} if strength is None else {"strength": strength}),
                **({"control": control} if isinstance(control, str) else {}),
            }


class Points:
    """Step events as columns, each step once: what an attempt did again stands in the place of what was lost."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._steps: dict[int, Event] = {}
        for event in events:
            if event["kind"] == "step" and type(event.get("step")) is int:
                self._steps[event["step"]] = event

    def columns(self) -> dict[str, Any]:
        """Columns of equal length, by growing step; what an event does not say is null."""
        events = [self._steps[step] for step in sorted(self._steps)]
        names = sorted({name for event in events for name in _rates(event)})
        plain = {name: [_number(event.get(name)) for event in events] for name in ("loss", "average", "seconds")}
        return {
            "step": sorted(self._steps),
            **plain,
            "lr": {name: [_number(_rates(event).get(name)) for event in events] for name in names},
            "memory": [event.get("memory") for event in events],
        }


def points_since(folder: Path, since: int) -> tuple[dict[str, Any], int, bool]:
    """Points from a byte offset of events.jsonl on: columns, the next offset, and whether there are more."""
    read = read_lines_from(folder / EVENTS, since)
    begin = read.next - sum(len(line) + 1 for line in read.lines)
    taken: list[bytes] = []
    offset = begin
    for line in read.lines:
        if len(taken) == MOST_POINTS:
            return Points(events_of(taken)).columns(), offset, True
        offset += len(line) + 1
        if line.startswith(STEP_LINE):
            taken.append(line)
    return Points(events_of(taken)).columns(), read.next, read.more


def pace(folder: Path, *, is_active: bool) -> tuple[float | None, float | None]:
    """Seconds of a usual recent step, and of a step with what lies between steps (pictures, saving), or None.

    The first step of an attempt does not count: it warms up and compiles.
    """
    recent: list[float] = []
    is_first = False
    for event in tail_events(folder / EVENTS, TAIL_BYTES if is_active else SHORT_TAIL_BYTES):
        if event["kind"] == "phase" and event.get("name") == "train":
            recent, is_first = [], True
        elif event["kind"] == "step" and isinstance(event.get("seconds"), (int, float)):
            recent += [] if is_first else [float(event["seconds"])]
            is_first = False
    return (median(recent), fmean(recent)) if recent else (None, None)


def _rates(event: Event) -> Mapping[str, Any]:
    rates = event.get("lr")
    return rates if isinstance(rates, Mapping) else {}


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(value: object) -> int:
    return value if type(value) is int else 0
