"""What this interpreter's torch says about itself and the devices it sees, as one JSON object on the last line.

Run as a program by the doctor, so that a torch that crashes on import takes only this process with it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch


def torch_facts() -> dict[str, Any]:
    """Version, build and devices; memory in bytes."""
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda or torch.version.hip,
        "architectures": torch.cuda.get_arch_list() if torch.cuda.is_available() else [],
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_bf16_fast": torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported(),
        "mps": torch.backends.mps.is_available(),
        "devices": [_device(index) for index in range(torch.cuda.device_count())],
    }


def _device(index: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(index)
    free, total = torch.cuda.mem_get_info(index)
    capability = torch.cuda.get_device_capability(index)
    return {
        "name": properties.name,
        "capability": list(capability),
        "supported": _has_code_for(capability),
        "memory_total": total,
        "memory_free": free,
        "bf16": capability >= (8, 0),
        "fp16": capability >= (5, 3),
        "works": _adds_up(index),
    }


def _has_code_for(capability: tuple[int, int]) -> bool:
    """Machine code of the same major version and no newer minor one, or intermediate code no newer than the device."""
    for architecture in torch.cuda.get_arch_list():
        kind, _, number = architecture.partition("_")
        digits = "".join(character for character in number if character.isdigit())
        if not digits:
            continue
        built = (int(digits[:-1]), int(digits[-1]))
        if kind == "sm" and built[0] == capability[0] and built[1] <= capability[1]:
            return True
        if kind == "compute" and built <= capability:
            return True
    return False


def _adds_up(index: int) -> bool:
    try:
        return bool(torch.ones(8, device=f"cuda:{index}").sum().item() == 8)
    except RuntimeError:
        return False


if __name__ == "__main__":
    print(json.dumps(torch_facts()))
    sys.exit(0)
