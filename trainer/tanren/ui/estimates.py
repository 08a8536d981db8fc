"""Memory and disk that a run would take, next to what there is."""

from __future__ import annotations

from dataclasses import dataclass

from ..vram import MIB, MemoryNeed
from .host import DeviceFacts

# A process that once computed on a GPU keeps its context there.
STAYS_WITH_HOST = 600 * MIB
UNKNOWN, FITS, TIGHT, OVER = "unknown", "fits", "tight", "over"


@dataclass(frozen=True)
class MemoryEstimate:
    """What a run needs at its peak, and whether there is room; all in bytes.

    Args:
        need: by what it is made of.
        on_gpu: the GPU's memory is meant; else main memory.
        free: what there is; None where it is not known.
        total: of the device, where it is known.
    """

    need: MemoryNeed
    on_gpu: bool
    free: int | None
    total: int | None = None

    @property
    def level(self) -> str:
        """FITS with its upper side too; TIGHT, where only the likely value fits; OVER; or UNKNOWN."""
        if self.free is None:
            return UNKNOWN
        if self.need.upper <= self.free:
            return FITS
        return TIGHT if self.need.peak <= self.free else OVER


def memory_estimate(need: MemoryNeed, device: DeviceFacts | None) -> MemoryEstimate:
    """Set a need beside the memory there is.

    Args:
        need: of the run.
        device: what will compute; None when nobody can tell. What the WebUI holds of a GPU is given back before a job
            starts there, and counts as free.
    """
    if device is None or not device.total:
        return MemoryEstimate(need, device is None or device.kind == "gpu", None)
    if device.kind == "cpu":
        return MemoryEstimate(need, False, device.free, device.total)
    return MemoryEstimate(need, True, device.free + max(0, device.held_by_host - STAYS_WITH_HOST), device.total)
