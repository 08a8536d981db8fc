"""The loss as people read it, and the watch over steps that were not finite."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..errors import NumericError

IN_A_ROW, IN_WINDOW, WINDOW = 3, 10, 1000


class LossAverage:
    """Moving average over the losses of the last epoch's worth of steps, as sd-scripts logs it."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._total = 0.0

    def add(self, *, epoch: int, step_in_epoch: int, loss: float) -> None:
        """Remember a loss; from the second epoch (epoch 1) on it replaces the one an epoch ago."""
        if epoch > 0 and step_in_epoch < len(self._losses):
            self._total += loss - self._losses[step_in_epoch]
            self._losses[step_in_epoch] = loss
        else:
            self._losses.append(loss)
            self._total += loss

    @property
    def value(self) -> float:
        """The average, 0 before the first loss."""
        return self._total / len(self._losses) if self._losses else 0.0

    def state(self) -> dict[str, Any]:
        """What resuming needs; the running total is kept, so that a resumed run shows the same digits."""
        return {"losses": list(self._losses), "total": self._total}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self._losses, self._total = list(state["losses"]), float(state["total"])


class FiniteWatch:
    """Counts skipped steps and ends the run when they are no accident any more."""

    def __init__(self) -> None:
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self.skipped = 0

    def add(self, *, step: int, finite: bool, last_good: str | None) -> None:
        """Remember whether `step` was finite.

        Raises:
            NumericError: 3 in a row, or 10 within 1000 steps.
        """
        self._recent.append(finite)
        if finite:
            return
        self.skipped += 1
        in_a_row = not any(list(self._recent)[-IN_A_ROW:]) and len(self._recent) >= IN_A_ROW
        in_window = sum(not ok for ok in self._recent) >= IN_WINDOW
        if in_a_row or in_window:
            raise NumericError(
                where=f"step {step}",
                what="The loss or its gradient is not a number any more.",
                why=f"{self.skipped} steps were skipped for this; usual causes are a learning rate that is too high, "
                "float16 (try bf16) and a damaged base model.",
                fix=f"The last good file is {last_good}." if last_good else "No file was saved before this.",
            )

    def state(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"recent": list(self._recent), "skipped": self.skipped}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state()`."""
        self._recent = deque(state["recent"], maxlen=WINDOW)
        self.skipped = int(state["skipped"])
