"""Expected problems, told so that the user knows what to do next.

Exit codes: 0 done, 1 internal fault, 2 usage, 3 data, 4 model file, 5 storage, 6 memory, 7 numeric, 8 resume,
9 busy, 10 environment, 20 stopped on request. A fault of ours is never a `UserError`: it keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SHOWN_AT_ONCE = 20


class UserError(Exception):
    """A problem the user can mend.

    Args:
        what: one sentence: what is wrong, with the value.
        fix: what to do.
        where: option, file or field, as the user typed it.
        why: the limit, offset or cause behind it.
    """

    code = 2

    def __init__(self, *, what: str, fix: str = "", where: str = "", why: str = "") -> None:
        self.what, self.fix, self.where, self.why = what, fix, where, why
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return "\n".join([head, *(f"  {line}" for line in (self.why, self.fix) if line)])

    def __reduce__(self) -> tuple[Any, ...]:
        # Ordinary exceptions travel between processes by their positional arguments, which these have none of.
        return _made_again, (type(self), {name: getattr(self, name) for name in ("what", "fix", "where", "why")})

    def as_dict(self) -> dict[str, object]:
        """The same text for events, logs and `result.json`."""
        return {"code": self.code, "where": self.where, "what": self.what, "why": self.why, "fix": self.fix}


def _made_again(kind: type[UserError], parts: dict[str, str]) -> UserError:
    return kind(**parts)


class UsageError(UserError):
    """Options or configuration."""

    code = 2


class DataError(UserError):
    """Pictures, captions or caches."""

    code = 3


class ModelFileError(UserError):
    """A model file is damaged, unsafe or of another kind."""

    code = 4


class StorageError(UserError):
    """The disk is full, read-only or gone."""

    code = 5


class OutOfMemory(UserError):
    """GPU or main memory is exhausted."""

    code = 6


class NumericError(UserError):
    """NaN or infinity where a number must be."""

    code = 7


class ResumeError(UserError):
    """A state does not fit this run, or is damaged."""

    code = 8


class BusyError(UserError):
    """Another process holds the lock."""

    code = 9


class EnvironmentProblem(UserError):
    """A package, driver or interpreter is missing or does not fit."""

    code = 10


class StoppedOnRequest(Exception):
    """The run saved and ended because it was asked to."""

    code = 20


class SeveralProblems(UserError):
    """All problems found in one pass; the exit code is the lowest of theirs."""

    def __init__(self, problems: Iterable[UserError]) -> None:
        self.problems = tuple(problems)
        self.code = min(problem.code for problem in self.problems)
        super().__init__(what=f"{len(self.problems)} problems were found.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problems,)

    @property
    def is_cut(self) -> bool:
        """True when there are more than the text shows."""
        return len(self.problems) > SHOWN_AT_ONCE

    @property
    def full_text(self) -> str:
        """Like the text, with every problem."""
        return "\n".join([self.what, *map(str, self.problems)])

    def __str__(self) -> str:
        shown = [str(problem) for problem in self.problems[:SHOWN_AT_ONCE]]
        left = len(self.problems) - len(shown)
        return "\n".join([self.what, *shown, *([f"… and {left} more."] if left else [])])

    def as_dict(self) -> dict[str, object]:
        """The summary and every single problem."""
        return {**super().as_dict(), "problems": [problem.as_dict() for problem in self.problems]}


class Problems:
    """Collects problems and warnings of one validation pass, so that they come in one report."""

    def __init__(self) -> None:
        self.errors: list[UserError] = []
        self.warnings: list[str] = []

    def add(self, problem: UserError) -> None:
        """Remember a problem; the same text counts once."""
        parts = problem.problems if isinstance(problem, SeveralProblems) else (problem,)
        known = {str(error) for error in self.errors}
        self.errors += [part for part in parts if str(part) not in known]

    def warn(self, text: str) -> None:
        """Remember one line that does not stop the run."""
        if text not in self.warnings:
            self.warnings.append(text)

    def raise_if_any(self) -> None:
        """Raise the only problem, or all of them as one."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise SeveralProblems(self.errors)
