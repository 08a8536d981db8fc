"""The embedded micro models."""

from __future__ import annotations

from pathlib import Path

from ..paths import asset


def micro_sd_path() -> Path:
    """The trained tiny model that comes with the package: an ordinary single file in the ldm layout."""
    return asset("micro", "micro-sd.safetensors")


def micro_sdxl_path() -> Path:
    """The same for SDXL, in the layout of Stability's own files."""
    return asset("micro", "micro-sdxl.safetensors")
