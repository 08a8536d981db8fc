"""The streams of random numbers that other people's code draws from, saved and put back.

Nothing of ours depends on them: every draw has its own seed. Third-party networks and optimizers may.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from ..errors import ResumeError

Streams = dict[str, Any]


def capture_streams() -> Streams:
    """The state of Python's, NumPy's and torch's generators, as plain data and tensors."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (
            str(kind),
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_streams(streams: Streams, where: str) -> None:
    """Put the generators back.

    Raises:
        ResumeError: the state is for other generators, such as another number of GPUs.
    """
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if len(streams["cuda"]) != devices:
        raise ResumeError(
            where=where,
            what=f"It was saved with {len(streams['cuda'])} GPUs, here are {devices}.",
            fix="Go on with as many, or accept what it does: --allow_changes device",
        )
    kind, keys, position, has_gauss, gauss = streams["numpy"]
    try:
        random.setstate(streams["python"])
        np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
        torch.set_rng_state(streams["torch"])
        for device, state in enumerate(streams["cuda"]):
            torch.cuda.set_rng_state(state, device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ResumeError(where=where, what="Its random streams do not fit.", why=str(error)) from error
