"""What jobs compute on: one job at a time on each, kept apart by a lock that the trainer holds for its life.

A device is called "cuda:0" and so on, by CUDA's own numbers as torch and CUDA_VISIBLE_DEVICES have them, or "cpu".
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import UsageError
from ..hardware import nvidia_gpus
from ..paths import user_data_folder

CPU = "cpu"
NAME = re.compile(r"cpu|cuda:\d{1,3}")
NUMBERS = re.compile(r"[-\d,\s]*")
VISIBLE = "CUDA_VISIBLE_DEVICES"


def usable_devices() -> list[str]:
    """The devices that jobs may use, the preferred one first; asks the driver, which takes a moment.

    CUDA_VISIBLE_DEVICES chooses among the GPUs as it does for every other program.
    """
    names = [f"cuda:{index}" for index in range(len(nvidia_gpus()))]
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        chosen = [f"cuda:{word.strip()}" for word in visible.split(",")]
        # Ids of other kinds (GPU-<uuid>) name GPUs that cannot be told apart here: the first one stands for them.
        names = [name for name in chosen if name in names] if NUMBERS.fullmatch(visible) else names[:1]
    return names or [CPU]


def check_device(device: str | None) -> str | None:
    """Return the name when it is one.

    Raises:
        UsageError: it is not.
    """
    if device is not None and not NAME.fullmatch(device):
        raise UsageError(where="device", what=f"{device!r} is not a device.", fix='Write "cuda:0", "cuda:1" or "cpu".')
    return device


def device_environment(device: str, *, is_asked_for: bool) -> dict[str, str]:
    """Variables that make a trainer see this device only.

    Args:
        device: its name.
        is_asked_for: somebody named it. A CPU that was merely found hides nothing: there may be a GPU that has no
            `nvidia-smi`.
    """
    if device == CPU:
        return {VISIBLE: ""} if is_asked_for else {}
    if not NUMBERS.fullmatch(os.environ.get(VISIBLE, "")):
        return {}
    return {VISIBLE: device.partition(":")[2]}


def device_lock(data_dir: Path, device: str) -> Path:
    """The lock of a device; its folder is made.

    A GPU is shared by all Tanrens of a user, whichever data folder each has (one in every WebUI, say); on a CPU jobs
    only get slower, so there each data folder is by itself.
    """
    folder = (data_dir if device == CPU else user_data_folder()) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{device.replace(':', '-')}.lock"
