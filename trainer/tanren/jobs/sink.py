"""Events of a run into its job folder: every one a line of events.jsonl, the newest facts in progress.json.

A run that cannot write them goes on; the first such failure is told in the log. Secrets and numbers that JSON does not
have are replaced on the way.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..events import Event
from ..files import append_line, write_json
from ..masking import mask, secrets_of_environment
from .folder import EVENTS, PROGRESS

PROGRESS_SECONDS, HEARTBEAT_SECONDS = 1.0, 5.0
STEP_FACTS = ("step", "epoch", "loss", "average", "lr", "seconds", "memory")
log = logging.getLogger("tanren")


class JobSink:
    """Listens to a `Report`; use `start` and `stop` around the run for the heartbeat.

    `counter` in progress.json grows with every event and tells whether the run moves on; `beat` grows at least every
    10 s in every phase and tells whether the process lives.

    Args:
        folder: of the job.
        attempt: the running one.
        known_secrets: values that are written nowhere.
    """

    def __init__(self, folder: Path, attempt: int, known_secrets: Iterable[str] = ()) -> None:
        self.folder = folder
        self.failures = 0
        self._secrets = [*known_secrets, *secrets_of_environment()]
        self._progress: dict[str, Any] = {"attempt": attempt, "counter": 0, "beat": 0}
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._written_at = -math.inf
        self._has_news = False
        self._last_phase: tuple[object, float] = (None, -math.inf)

    def start(self) -> None:
        """Begin the heartbeat."""
        self._write_progress()
        self._thread.start()

    def stop(self) -> None:
        """End the heartbeat and write the newest facts."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._write_progress()

    def __call__(self, event: Event) -> None:
        """Write one event; of a phase's many, about one a second and always the first and the last."""
        content = ready_for_json(event, self._secrets)
        with self._guard:
            self._note(content)
        if self._is_worth_a_line(event):
            self._try(lambda: append_line(self.folder / EVENTS, json.dumps(content, ensure_ascii=False)))
        if time.monotonic() - self._written_at >= PROGRESS_SECONDS:
            self._write_progress()

    def _note(self, content: Mapping[str, Any]) -> None:
        self._progress["counter"] += 1
        self._has_news = True
        if content["kind"] == "phase":
            self._progress |= {"phase": content["name"], "done": content["done"], "total": content["total"]}
            if content["name"] == "train":
                self._progress |= {"total_steps": content["total"], "total_epochs": content.get("epochs")}
        elif content["kind"] == "step":
            self._progress |= {name: content.get(name) for name in STEP_FACTS}
            # Sample pictures may have come in between, with a total of their own.
            total = self._progress.get("total_steps")
            self._progress |= {"phase": "train", "done": content.get("step"), "total": total}
        elif content["kind"] == "sample":
            self._progress["sample"] = content["file"]

    def _is_worth_a_line(self, event: Event) -> bool:
        if event["kind"] != "phase":
            return True
        now = time.monotonic()
        name, told_at = self._last_phase
        is_border = name != event["name"] or event["done"] in (0, event["total"])
        if is_border or now - told_at >= PROGRESS_SECONDS:
            self._last_phase = event["name"], now
            return True
        return False

    def _beat(self) -> None:
        while not self._ended.wait(PROGRESS_SECONDS):
            if self._has_news or time.monotonic() - self._written_at >= HEARTBEAT_SECONDS:
                self._write_progress()

    def _write_progress(self) -> None:
        with self._guard:
            self._progress["beat"] += 1
            content = {**self._progress, "time": time.time()}
            self._written_at, self._has_news = time.monotonic(), False
            self._try(lambda: write_json(self.folder / PROGRESS, content, sync=False))

    def _try(self, write: Any) -> None:
        try:
            write()
        except StorageError as error:
            self.failures += 1
            if self.failures == 1:
                log.warning("The job's files cannot be written, the run goes on: %s", error)


def ready_for_json(value: Any, secrets: Iterable[str] = ()) -> Any:
    """The same content as JSON can say it: NaN and infinities become null, paths text, and secrets asterisks."""
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, Mapping):
        return {str(name): ready_for_json(inner, secrets) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [ready_for_json(inner, secrets) for inner in value]
    return mask(str(value), secrets)
