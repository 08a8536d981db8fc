"""How much memory there is and who holds it: of the GPU through the driver or the WebUI's torch, else of the machine.

torch is the WebUI's. It is used when the WebUI has imported it and has work on the GPU already, never imported here:
asking it earlier would make a context on the GPU, which itself takes some hundred megabytes.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from threading import Lock
from typing import Any

from ..hardware import Gpu, main_memory, nvidia_gpus
from .host import DeviceFacts

MEBIBYTE = 1024 * 1024
FRESH_SECONDS = 2.0


def cuda_of_host() -> Any:
    """`torch.cuda` when the WebUI works with a GPU in this process, else None."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_available() or not cuda.is_initialized():
        return None
    return cuda


def has_gpu_in_host() -> bool:
    """True when the WebUI's torch sees a GPU, or has not been imported to tell."""
    torch = sys.modules.get("torch")
    return torch is None or bool(torch.cuda.is_available())


def process_memory() -> int:
    """Bytes of main memory that this process holds; 0 where the system does not say."""
    psutil = sys.modules.get("psutil")
    if psutil is not None:
        return int(psutil.Process().memory_info().rss)
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def give_back_to_system() -> None:
    """Return freed main memory to the system; glibc keeps what lies between blocks that are still in use.

    Seen in A1111 on a CPU: without it, 3 GB more stayed with the process after its second model.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


class DeviceWatch:
    """Facts about the device, not asked more often than every two seconds.

    Args:
        index: which GPU the surroundings use, by the driver's count; None for the first.
    """

    def __init__(self, index: int | None = None) -> None:
        self._index = index
        self._lock = Lock()
        self._known: tuple[float, DeviceFacts] | None = None

    def facts(self, *, wants_gpu: bool = True) -> DeviceFacts:
        """What is computed on.

        Args:
            wants_gpu: False when the WebUI was told to use the CPU.
        """
        with self._lock:
            now = time.monotonic()
            if self._known is None or now - self._known[0] > FRESH_SECONDS:
                self._known = (now, self._look(wants_gpu))
            return self._known[1]

    def forget(self) -> None:
        """Look again at the next question: memory has just been given back or taken."""
        with self._lock:
            self._known = None

    def _look(self, wants_gpu: bool) -> DeviceFacts:
        if wants_gpu:
            cuda = cuda_of_host()
            if cuda is not None:
                return _from_torch(cuda)
            gpus = nvidia_gpus()
            if gpus:
                return _from_driver(gpus[min(self._index or 0, len(gpus) - 1)])
        memory = main_memory()
        return DeviceFacts("cpu", "CPU", memory.total, memory.available, process_memory())


def _from_torch(cuda: Any) -> DeviceFacts:
    free, total = cuda.mem_get_info()
    return DeviceFacts("gpu", str(cuda.get_device_name()), int(total), int(free), int(cuda.memory_reserved()))


def _from_driver(gpu: Gpu) -> DeviceFacts:
    return DeviceFacts("gpu", gpu.name, gpu.memory_total * MEBIBYTE, gpu.memory_free * MEBIBYTE)
