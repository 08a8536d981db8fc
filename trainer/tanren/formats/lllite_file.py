"""What a ControlNet-LLLite file is, from the names and shapes in its header.

Each of its layers has `<layer>.conditioning1.0.weight` (E/2, 3, 4, 4) and `<layer>.down.0.weight` (R, width): readers
find the sizes E (`--cond_emb_dim`) and R (`--network_dim`) there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ModelFileError
from .base_model import is_safetensors
from .safetensors_header import read_header

OPTION = "--network_weights"
FIRST, DOWN = ".conditioning1.0.weight", ".down.0.weight"


class LlliteSizes(NamedTuple):
    """`--cond_emb_dim` and `--network_dim` of a file, and how many layers it has."""

    channels: int
    dim: int
    layers: int


def lllite_sizes(shapes: Mapping[str, Sequence[int]]) -> LlliteSizes | None:
    """Sizes of a file with these tensors, or None when it is something else."""
    firsts = [shape for name, shape in shapes.items() if name.startswith("lllite_") and name.endswith(FIRST)]
    downs = [shape for name, shape in shapes.items() if name.startswith("lllite_") and name.endswith(DOWN)]
    if not firsts or not downs or not firsts[0] or not downs[0]:
        return None
    return LlliteSizes(2 * firsts[0][0], downs[0][0], len(downs))


def check_lllite(path: Path, name: str, channels: int | None, dim: int | None) -> None:
    """Refuse a file from which a network of these sizes cannot start.

    Args:
        path: a file; those in torch's format are known only when torch reads them.
        name: the file as the user typed it.
        channels, dim: what the options say; None where they say nothing, which is told elsewhere.

    Raises:
        ModelFileError: damaged, something else, or of other sizes.
    """
    if not is_safetensors(path):
        return
    sizes = lllite_sizes({key: entry.shape for key, entry in read_header(path).tensors.items()})
    if sizes is None:
        fix = "Give a file that sdxl_train_control_net_lllite has written."
        raise ModelFileError(where=OPTION, what=f"{name} is no ControlNet-LLLite.", fix=fix)
    if (channels or sizes.channels, dim or sizes.dim) != sizes[:2]:
        raise ModelFileError(
            where=OPTION,
            what=f"{name} has --cond_emb_dim {sizes.channels} and --network_dim {sizes.dim}.",
            fix=f"Use --cond_emb_dim={sizes.channels} --network_dim={sizes.dim} to start from it.",
        )
