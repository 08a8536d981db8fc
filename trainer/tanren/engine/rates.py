"""Learning rates as trackers show them."""

from __future__ import annotations

from typing import NamedTuple


class Rates(NamedTuple):
    """Learning rate by group name; `effective` is d times it, for the kinds that find d themselves."""

    plain: dict[str, float]
    effective: dict[str, float]
