"""Find and replace with regular expressions, in a time that has an end.

Some expressions take longer than the universe on an innocent caption, and Python cannot interrupt them; so they run in
a process of their own (`pattern_worker.py`), which is ended when the time is up.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..child_process import child_environment
from ..errors import EnvironmentProblem, UsageError

SECONDS = 10.0
SECONDS_EACH = 0.001
LONGEST_PATTERN = 2000
WORKER = Path(__file__).with_name("pattern_worker.py")


def replaced_everywhere(
    texts: Sequence[str], pattern: str, new: str, *, ignore_case: bool = False, seconds: float = SECONDS
) -> list[str]:
    r"""The texts after `re.sub`.

    Args:
        texts: captions.
        pattern: a regular expression of Python's.
        new: what is put in, with `\1` or `\g<name>` for groups.
        ignore_case: capitals do not matter.
        seconds: for all of them; a millisecond is added for each.

    Raises:
        UsageError: the expression is wrong, or takes too long.
        EnvironmentProblem: the process ended in another way.
    """
    check_pattern(pattern, new)
    if not texts:
        return []
    asked = json.dumps({"pattern": pattern, "new": new, "ignore_case": ignore_case, "texts": list(texts)})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(WORKER)],
            input=asked.encode("ascii"),
            capture_output=True,
            timeout=seconds + SECONDS_EACH * len(texts),
            env=child_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        finished = (error.output or b"").count(b"\n")
        raise _too_slow(pattern, seconds, texts[min(finished, len(texts) - 1)]) from None
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != len(texts):
        raise EnvironmentProblem(
            where=pattern,
            what="The process that replaces texts ended before it was done.",
            why=done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2],
        )
    return [json.loads(line) for line in lines]


def check_pattern(pattern: str, new: str) -> None:
    """Refuse expressions that Python cannot compile, and replacements that name groups which are not there.

    Raises:
        UsageError: with the place.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise UsageError(
            where="regular expression",
            what=f"It has {len(pattern)} characters, more than {LONGEST_PATTERN}.",
            fix="Replace in several steps.",
        )
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            where=pattern, what=f"This is no regular expression: {error}.", fix=r"Write \( for a bracket itself."
        ) from error
    try:
        # The replacement is read before anything is looked for.
        compiled.sub(new, "")
    except (re.error, IndexError) as error:
        raise UsageError(
            where=new, what=f"The replacement cannot be used: {error}.", fix=r"\1 is the first group, \\ a backslash."
        ) from error


def _too_slow(pattern: str, seconds: float, text: str) -> UsageError:
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return UsageError(
        where=pattern,
        what=f"The expression takes longer than {seconds:g} seconds, the last time on the caption {shown!r}.",
        why="Expressions such as (a+)+ try every way of dividing a text.",
        fix="Write it without a repetition inside of a repetition. Nothing was changed.",
    )
