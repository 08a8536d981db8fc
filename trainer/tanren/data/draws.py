"""Random draws that depend on what they are for, never on what was drawn before.

Every draw has a seed made from the run's seed, a purpose and the identity of the sample or step. So workers, resuming,
sampling in between and the number of processes cannot shift it. Purposes used: shuffle, batch order, augment, caption,
timestep, noise, posterior, step (everything that is one draw per batch), dropout, sample, validation.
"""

from __future__ import annotations

import hashlib
import random


def draw_seed(seed: int, purpose: str, *identity: int | str) -> int:
    """A 63-bit seed for one draw, the same on every machine and Python version."""
    text = "\x1f".join([str(seed), purpose, *map(str, identity)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def draw(seed: int, purpose: str, *identity: int | str) -> random.Random:
    """Python's generator for one draw."""
    return random.Random(draw_seed(seed, purpose, *identity))
