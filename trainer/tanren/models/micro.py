"""The embedded micro-SD."""

from __future__ import annotations

from pathlib import Path

MICRO_SD = Path(__file__).resolve().parent.parent / "assets" / "micro" / "micro-sd.safetensors"


def micro_sd_path() -> Path:
    """The trained tiny model that comes with the package: an ordinary single file in the ldm layout."""
    return MICRO_SD
