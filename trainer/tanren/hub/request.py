"""Asking the process that talks to the hub, with limits: an answer always comes, and nothing is raised."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from ..paths import package_folder
from .process import TROUBLE, UNREACHABLE

SILENT, CANCELLED = "silent", "cancelled"
# What may be better at a second attempt.
PASSING = (UNREACHABLE, TROUBLE, SILENT)
LOOK_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Limits:
    """How long an answer may take.

    Args:
        silence: seconds without a sign of life.
        longest: seconds in all.
    """

    silence: float
    longest: float


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Args:
        failed: kind of the failure, empty when it was done.
        facts: of what was done.
        status: of HTTP, where there was one.
        text: what the library or the process said.
    """

    failed: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    status: int | None = None
    text: str = ""

    @property
    def is_done(self) -> bool:
        """True when it worked."""
        return not self.failed

    @property
    def may_pass(self) -> bool:
        """True for a failure that a later attempt may not meet."""
        return self.failed in PASSING


def ask(
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    limits: Limits,
    *,
    on_percent: Callable[[int], None] = lambda percent: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Answer:
    """Have the process do something and wait for it.

    Args:
        request: `do` and what belongs to it, as in `process`.
        environment: of the process; holds the token.
        limits: when to give up.
        on_percent: told how far it is.
        is_cancelled: asked often; ends the process.
    """
    try:
        child = _started(request, environment)
    except OSError as error:
        return Answer(TROUBLE, text=f"The process that uploads could not be started: {error}")
    try:
        return _answer(child, limits, on_percent, is_cancelled)
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def _started(request: Mapping[str, Any], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    # The library's bars are the only signs of life it gives, and it shows none unless told that somebody looks.
    shown = {"TQDM_POSITION": "-1", "HF_HUB_DISABLE_PROGRESS_BARS": "0"}
    child = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.process"],
        # The folder it is started in comes first among those that modules are looked for in.
        cwd=package_folder().parent,
        env={**environment, **shown},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    )
    assert child.stdin is not None
    # A process that has ended already tells so by its output.
    with contextlib.suppress(OSError):
        child.stdin.write(json.dumps(dict(request)) + "\n")
        child.stdin.flush()
    return child


def _answer(
    child: subprocess.Popen[str], limits: Limits, on_percent: Callable[[int], None], is_cancelled: Callable[[], bool]
) -> Answer:
    assert child.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(child.stdout, lines), daemon=True).start()
    began = heard = time.monotonic()
    while True:
        now = time.monotonic()
        if is_cancelled():
            return Answer(CANCELLED, text="It was given up.")
        if now - heard > limits.silence or now - began > limits.longest:
            return Answer(SILENT, text=f"There was no answer for {now - heard:.0f} s.")
        try:
            line = lines.get(timeout=LOOK_EVERY_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            return Answer(TROUBLE, text="The process that uploads ended without an answer.")
        heard = time.monotonic()
        told = json.loads(line)
        if "percent" in told:
            on_percent(int(told["percent"]))
        elif "done" in told:
            return Answer(facts=told["done"])
        else:
            return Answer(told["failed"], status=told["status"], text=told["text"])


def _read(pipe: TextIO, lines: queue.Queue[str | None]) -> None:
    # The pipe is closed when nobody waits any more.
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            lines.put(line)
    lines.put(None)
