"""How much memory this process has used at most."""

from __future__ import annotations

import psutil
import torch


def peak_memory(device: torch.device) -> int:
    """Bytes: the GPU allocator's peak, or this process's resident memory now on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return psutil.Process().memory_info().rss
