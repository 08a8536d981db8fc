"""Where in a run we are."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Position:
    """Where a run stands, counted from its very beginning.

    Args:
        step: optimizer updates done.
        epoch: epochs completed; the current one is number `epoch` from 0.
        batch: batches of this process done in the current epoch.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0

    def after_update(self, batches: int) -> Position:
        """One more update, made from this many batches."""
        return replace(self, step=self.step + 1, batch=self.batch + batches)

    def after_epoch(self) -> Position:
        """At the start of the next epoch."""
        return replace(self, epoch=self.epoch + 1, batch=0)
