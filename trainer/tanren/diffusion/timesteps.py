"""Which timesteps are trained and which are measured."""

from __future__ import annotations

from random import Random

from .schedules import TRAIN_TIMESTEPS


def timestep_range(lowest: int | None, below: int | None) -> tuple[int, int]:
    """The half-open range that `--min_timestep` and `--max_timestep` leave; the whole schedule when not given."""
    return lowest or 0, TRAIN_TIMESTEPS if below is None else below


def draw_timestep(rng: Random, low: int, high: int) -> int:
    """A whole number from low up to, but not including, high; low itself when both are the same."""
    return low if low == high else rng.randrange(low, high)


def validation_timesteps(low: int, high: int, count: int = 4) -> tuple[int, ...]:
    """Evenly spaced inner timesteps: 200, 400, 600 and 800 of the whole range."""
    return tuple(low + (high - low) * part // (count + 1) for part in range(1, count + 1))
