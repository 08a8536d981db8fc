"""The embedded micro-SD."""

from __future__ import annotations

from pathlib import Path

from ..paths import asset


def micro_sd_path() -> Path:
    """The trained tiny model that comes with the package: an ordinary single file in the ldm layout."""
    return asset("micro", "micro-sd.safetensors")
