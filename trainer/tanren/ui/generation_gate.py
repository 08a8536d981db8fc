"""The gate between the WebUI and its model while a training needs the memory.

Both WebUIs make every picture, whether a click or their API asks for it, through `process_images`, whose first act is
the scripts' `before_process`. The gate stands around that call, because an error which a script itself raises there is
swallowed. Refusing costs the WebUI nothing: no model has been touched yet. A second check stands around
`process_images_inner`, for callers without scripts. Changing the model or the VAE is put off in A1111, which would load
at once; the choice is kept and holds when the model comes back.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from .words import Text

ANNOUNCED_SECONDS = 20.0
BUSY_STATUS = 503
MARK = "tanren_original"


class Gate:
    """Open, or closed for one job with a sentence that says why.

    A gate that was only announced (the job waits for the WebUI to finish its picture) opens by itself when the
    announcement is not repeated, so that a job which is withdrawn meanwhile leaves nothing behind.

    Args:
        translate: puts a sentence into the user's language.
        clock: seconds that never jump.
    """

    def __init__(self, translate: Callable[[Text], str] = str, clock: Callable[[], float] = time.monotonic) -> None:
        self._translate, self._clock = translate, clock
        self._lock = threading.Lock()
        self._job, self._why = "", Text("")
        self._until: float | None = None
        self._has_put_off = False

    @property
    def job(self) -> str:
        """Id of the job it is closed for; empty while it is open."""
        with self._lock:
            self._look_at_the_clock()
            return self._job

    @property
    def is_closed(self) -> bool:
        """True while pictures are refused."""
        return bool(self.job)

    @property
    def why(self) -> str:
        """What a person who wants a picture is told; empty while it is open."""
        return self._translate(self._why) if self.is_closed else ""

    def announce(self, job: str, why: Text) -> None:
        """Close it for a while: the job starts as soon as the WebUI has finished what it does."""
        self._set(job, why, self._clock() + ANNOUNCED_SECONDS)

    def close(self, job: str, why: Text) -> None:
        """Close it until `open` is called for the same job."""
        self._set(job, why, None)

    def open(self, job: str | None = None) -> None:
        """Open it, if it is closed for this job or no job is named."""
        with self._lock:
            if job is None or job == self._job:
                self._job, self._why, self._until = "", Text(""), None

    def put_off(self) -> None:
        """Remember that the WebUI wanted another model meanwhile."""
        self._has_put_off = True

    def take_put_off(self) -> bool:
        """True when the WebUI wanted another model since the last call."""
        before, self._has_put_off = self._has_put_off, False
        return before

    def check(self) -> None:
        """Return while it is open.

        Raises:
            Exception: of a kind that the WebUI shows as a sentence, and its API as status 503.
        """
        why = self.why
        if why:
            raise refusal(why)

    def _set(self, job: str, why: Text, until: float | None) -> None:
        with self._lock:
            self._job, self._why, self._until = job, why, until

    def _look_at_the_clock(self) -> None:
        if self._until is not None and self._clock() >= self._until:
            self._job, self._why, self._until = "", Text(""), None


def refusal(sentence: str) -> Exception:
    """An error that reads "Tanren: <sentence>" wherever the WebUI shows it: on the page, and from its API as JSON."""
    try:
        from starlette.exceptions import HTTPException
    except ImportError:  # Only outside of a WebUI, where nobody makes pictures.
        return RuntimeError(sentence)
    # The page puts the name of the class before the text.
    shown = type("Tanren", (HTTPException,), {"__str__": lambda error: sentence})
    return shown(status_code=BUSY_STATUS, detail=f"Tanren: {sentence}")


def guard_pictures(gate: Gate, scripts: Any, processing: Any) -> None:
    """Put the gate before every picture the WebUI makes; called again, the new gate replaces the old one.

    Args:
        scripts, processing: the WebUI's modules of these names.
    """

    def checked(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        gate.check()
        return original(*args, **kwargs)

    _wrap(scripts.ScriptRunner, "before_process", checked)
    _wrap(processing, "process_images_inner", checked)


def guard_loading(gate: Gate, module: Any, name: str) -> None:
    """Put a function that would load a model off while the gate is closed; its result is the model there is, None.

    Args:
        module, name: where the WebUI looks the function up.
    """

    def later(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if gate.is_closed:
            gate.put_off()
            return None
        return original(*args, **kwargs)

    _wrap(module, name, later)


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace a function by one that calls `around` with it; what an earlier load of ours put there is taken away."""
    current = getattr(owner, name)
    original = getattr(current, MARK, current)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    setattr(wrapped, MARK, original)
    setattr(owner, name, wrapped)
