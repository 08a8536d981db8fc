"""What the machine has for computing, and which build of torch fits it; known before torch is installed.

GPUs are asked of `nvidia-smi`, which every NVIDIA driver brings along; memory of the operating system.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PYTORCH_INDEX = "https://download.pytorch.org/whl/"
QUERY = ("name", "driver_version", "memory.total", "memory.free", "compute_cap")
SECONDS_TO_ANSWER = 15


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as its driver describes it; memory in MiB, capability (0, 0) when the driver does not say."""

    name: str
    driver: str
    memory_total: int
    memory_free: int
    capability: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes; 0 where the system does not say."""

    total: int
    available: int
    swap: int = 0


@dataclass(frozen=True)
class TorchBuild:
    """One way torch is compiled, and the GPUs it serves.

    Source: the CUDA support matrix of PyTorch 2.12 to 2.14, and CUDA's table of minimum drivers.
    """

    name: str
    oldest_driver: int
    capabilities: tuple[tuple[int, int], tuple[int, int]]

    @property
    def index(self) -> str:
        """PyTorch's own wheel index for this build."""
        return PYTORCH_INDEX + self.name

    def serves(self, gpu: Gpu) -> bool:
        """True when the build has code for this GPU, or the driver does not say what it is."""
        low, high = self.capabilities
        return gpu.capability == (0, 0) or low <= gpu.capability <= high


@dataclass(frozen=True)
class Choice:
    """The build that was chosen and the sentence that says why."""

    build: str
    index: str | None
    because: str


CUDA_BUILDS = (
    TorchBuild("cu130", 580, ((7, 5), (99, 0))),
    TorchBuild("cu126", 525, ((5, 0), (9, 0))),
)
BUILD_NAMES = ("cpu", *(build.name for build in CUDA_BUILDS))


def nvidia_gpus() -> list[Gpu]:
    """The NVIDIA GPUs of this machine; empty when there is no working driver."""
    program = _nvidia_smi()
    if program is None:
        return []
    # Drivers before 510 do not know compute_cap and refuse the whole query.
    for fields in (QUERY, QUERY[:-1]):
        command = [program, "--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=SECONDS_TO_ANSWER,
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        if done.returncode == 0:
            return parse_gpus(done.stdout)
    return []


def parse_gpus(text: str) -> list[Gpu]:
    """GPUs from the lines `nvidia-smi` prints for QUERY; lines of another form are left out."""
    gpus = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) >= 4 and re.match(r"\d+", cells[1]):
            capability = re.fullmatch(r"(\d+)\.(\d+)", cells[4]) if len(cells) > 4 else None
            both = (int(capability[1]), int(capability[2])) if capability else (0, 0)
            gpus.append(Gpu(cells[0], cells[1], _number(cells[2]), _number(cells[3]), both))
    return gpus


def choose_build(gpus: list[Gpu], system: str = sys.platform, machine: str = "") -> Choice:
    """The torch build for these GPUs: the newest CUDA that the driver and every GPU can use, else the CPU build.

    Args:
        gpus: from `nvidia_gpus`.
        system, machine: `sys.platform` and `platform.machine()`.
    """
    machine = (machine or platform.machine()).lower()
    if system == "darwin" or machine not in ("x86_64", "amd64"):
        return Choice("default", None, f"the ordinary build for {machine} on {system}")
    if not gpus:
        return Choice("cpu", PYTORCH_INDEX + "cpu", "no NVIDIA GPU was found")
    driver = int(gpus[0].driver.split(".")[0])
    for build in CUDA_BUILDS:
        low, high = build.capabilities
        if driver >= build.oldest_driver and all(
            low <= gpu.capability <= high or gpu.capability == (0, 0) for gpu in gpus
        ):
            return Choice(build.name, build.index, f"{gpus[0].name}, driver {gpus[0].driver}")
    return Choice(
        "cpu",
        PYTORCH_INDEX + "cpu",
        f"{gpus[0].name} cannot be used with driver {gpus[0].driver}: install driver {CUDA_BUILDS[0].oldest_driver} or "
        "newer, then `python launch.py setup --repair`",
    )


def named_build(name: str) -> Choice:
    """The build the user asked for by name."""
    return Choice(name, PYTORCH_INDEX + name, "asked for with --torch")


def main_memory() -> Memory:
    """What Linux, Windows or macOS say about main memory."""
    if sys.platform == "win32":
        return _windows_memory()
    try:
        return parse_meminfo(Path("/proc/meminfo").read_text("ascii"))
    except OSError:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Memory(total, 0)


def parse_meminfo(text: str) -> Memory:
    """Memory from Linux's `/proc/meminfo`, whose numbers are KiB."""
    kib = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return Memory(*(1024 * kib.get(name, 0) for name in ("MemTotal", "MemAvailable", "SwapTotal")))


def _windows_memory() -> Memory:
    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of the Windows API."""

        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong)
            for name in ("total", "available", "page_total", "page_free", "virtual_total", "virtual_free", "extended")
        ]

    status = Status(length=ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return Memory(status.total, status.available, max(0, status.page_total - status.total))


def _nvidia_smi() -> str | None:
    found = shutil.which("nvidia-smi")
    if found is None and sys.platform == "win32":
        usual = Path(r"C:\Windows\System32\nvidia-smi.exe")
        found = str(usual) if usual.is_file() else None
    return found


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
