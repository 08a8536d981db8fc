"""Run one tool: `python -m tanren.picture_models tag FOLDER --model MODEL …`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import DataError, EnvironmentProblem, StoppedOnRequest, UserError
from ..events import Report
from ..jobs.job import lock_device
from ..stop_signals import StopOnSignal
from .arguments import Asked, read
from .progress import STOPPING, ConsoleSink, JsonSink, any_of, stop_file

if TYPE_CHECKING:
    from .pictures import Outcome

# Tool -> module; the function has the tool's name. These import the heavy packages.
RUNS = {
    "tag": ".tagging",
    "describe": ".describing",
    "mask": ".copying",
    "condition": ".copying",
    "faces": ".copying",
    "regularize": ".regularizing",
}


def main(words: Sequence[str]) -> int:
    """Run the tool that the words name; returns the exit code (errors.py lists them)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal of another code page shows what it cannot say as \\u1234 instead of failing.
            stream.reconfigure(errors="backslashreplace")
    lines = JsonSink(sys.stdout)
    signals = StopOnSignal(said=STOPPING)
    if "--events" in words:
        report = Report([lines], any_of(signals.asked, lines.asked))
    else:
        report = Report([ConsoleSink(shows_pictures="--dry-run" in words)], signals.asked)
    try:
        code, reason = _run(read(words), report, signals)
    except UserError as problem:
        report.problem(problem)
        code, reason = problem.code, problem.what
    except StoppedOnRequest as stop:
        code, reason = stop.code, str(stop)
    report.tell("ended", code=code, state=_state(code), reason=reason)
    return code


def _run(asked: Asked, report: Report, signals: StopOnSignal) -> tuple[int, str]:
    signals.listen(stop_file(asked.stop_file))
    # The page gives a device that trainings use, too. Held until this process is gone, and with it what it keeps there.
    _device = lock_device()
    with signals:
        outcome = _tool(asked.tool)(asked.request, report)
    report.tell("result", written=outcome.written, unchanged=outcome.unchanged, failed=outcome.failed)
    if not outcome.failed:
        return 0, ""
    count = "1 picture was" if outcome.failed == 1 else f"{outcome.failed} pictures were"
    return DataError.code, f"{count} left out; the messages above say which and why."


def _tool(name: str) -> Callable[[Any, Report], Outcome]:
    """The function that runs a tool.

    Raises:
        EnvironmentProblem: a package is missing or broken.
    """
    try:
        module = import_module(RUNS[name], __package__)
    except (ImportError, OSError) as error:
        # A torch whose libraries do not fit raises OSError. What we cannot import of our own is our fault.
        if (getattr(error, "name", None) or "").startswith(str(__package__).partition(".")[0]):
            raise
        raise EnvironmentProblem(
            what="The packages that this tool needs cannot be imported.",
            why=str(error),
            fix="`python launch.py setup` makes the trainer's environment; `python launch.py doctor` tells more.",
        ) from error
    return getattr(module, name)


def _state(code: int) -> str:
    return {0: "finished", StoppedOnRequest.code: "stopped"}.get(code, "failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
