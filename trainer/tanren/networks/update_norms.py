"""How strongly a LoRA changes each block of its base model: the norm of the update, at strength 1.

    python launch.py meta norms FILE… [--json] [--progress]

The Frobenius norm of `alpha / rank * up @ down` follows from two small Gram matrices, so the update itself is never
made; LoKr's is the product of its factors' norms. Where the update depends on the base weights (DoRA's magnitudes, OFT,
GLoRA, IA3) there is no norm without the base model, and none is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from ..errors import ModelFileError, SeveralProblems, UserError
from ..formats.network_names import block_of, part_of, split_name
from ..formats.safetensors_header import read_header
from ..library.plain_text import plain
from ..paths import resolve_user_path

Roles = Mapping[str, Tensor]
WIDTH = 30


@dataclass(frozen=True)
class BlockNorm:
    """The update of one block.

    Args:
        part: "unet", "te1" …
        block: "in 4", "mid" …
        layers: that have a norm.
        norm: root of the sum of the squares of all numbers of the update.
        largest: the largest norm of a single layer.
        not_computed: layers whose update cannot be told without the base model.
    """

    part: str
    block: str
    layers: int
    norm: float
    largest: float
    not_computed: int = 0


def update_norm(roles: Roles) -> float | None:
    """Norm of one layer's update, or None where the base weights are needed.

    Args:
        roles: role (as `network_names.split_name` names it) -> tensor, any dtype.
    """
    tensors = {role: tensor.double() for role, tensor in roles.items()}
    if "magnitude" in tensors:
        return None
    if "mid" in tensors:
        return _scale(tensors, len(tensors["down"])) * float(torch.linalg.norm(_with_core(tensors)))
    if {"down", "up"} <= tensors.keys():
        down, up = tensors["down"].flatten(1), tensors["up"].flatten(1)
        squares = torch.sum((up.T @ up) * (down @ down.T))
        return _scale(tensors, len(down)) * float(squares.clamp(min=0).sqrt())
    if "hada_w1_a" in tensors and "hada_t1" not in tensors:
        first, second = (tensors[f"hada_{one}_a"] @ tensors[f"hada_{one}_b"] for one in ("w1", "w2"))
        return _scale(tensors, len(tensors["hada_w1_b"])) * float(torch.linalg.norm(first * second))
    if {"w1", "w1_a"} & tensors.keys() and "t2" not in tensors:
        return _kronecker_norm(tensors)
    return float(torch.linalg.norm(tensors["diff"])) if "diff" in tensors else None


def block_norms(path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[BlockNorm]:
    """Norms per block, in the order of the file's layers.

    Args:
        path: a .safetensors file.
        progress: told (layers done, layers in all) as it goes.

    Raises:
        ModelFileError: the file is damaged, or the tensors of a layer do not fit together.
    """
    layers: dict[str, list[tuple[str, str]]] = {}
    for name in read_header(path).tensors:
        split = split_name(name)
        if split is not None:
            layers.setdefault(split.layer, []).append((split.role, name))
    norms: dict[tuple[str, str], list[float | None]] = {}
    with safe_open(path, framework="pt") as file:
        for number, (layer, names) in enumerate(layers.items(), 1):
            try:
                norm = update_norm({role: file.get_tensor(name) for role, name in names})
            except (RuntimeError, IndexError, KeyError, ValueError) as error:
                raise ModelFileError(
                    where=str(path),
                    what=f"The tensors of {plain(layer, 100)} do not fit together.",
                    fix="Take it anew.",
                ) from error
            norms.setdefault((part_of(layer), block_of(layer)), []).append(norm)
            progress(number, len(layers))
    return [_of_block(*key, values) for key, values in norms.items()]


def main(words: Sequence[str]) -> int:
    """Print the norms of files; returns the exit code."""
    parser = argparse.ArgumentParser(prog="meta norms", description="How strongly each block changes.")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--progress", action="store_true", help="print how many layers are done, for programs")
    chosen = parser.parse_args(words)
    found, problems = [], []
    for text in chosen.files:
        try:
            path = resolve_user_path(text, "file", where="FILE")
            found.append((path, block_norms(path, _print_progress if chosen.progress else lambda done, total: None)))
        except UserError as problem:
            problems.append(problem)
    if chosen.json:
        rows = [{"path": str(path), "blocks": [asdict(norm) for norm in norms]} for path, norms in found]
        print(json.dumps(rows, indent=1))
    else:
        print("\n".join(line for path, norms in found for line in _as_lines(path, norms)))
    if problems:
        report = problems[0] if len(problems) == 1 else SeveralProblems(problems)
        print(report, file=sys.stderr)
        return report.code
    return 0


def _print_progress(done: int, total: int) -> None:
    print(f"{done}/{total}", file=sys.stderr, flush=True)


def _scale(tensors: Roles, rank: int) -> float:
    alpha = tensors.get("alpha")
    return float(alpha) / rank if alpha is not None else 1.0


def _with_core(tensors: Roles) -> Tensor:
    """LoCon's convolution in three pieces: up (o, r) · mid (r, r, k, k) · down (r, i)."""
    up, down = tensors["up"].flatten(1), tensors["down"].flatten(1)
    return torch.einsum("or,rskl,si->oikl", up, tensors["mid"], down)


def _kronecker_norm(tensors: Roles) -> float:
    """A Kronecker product's norm is the product of the norms; the rank is that of the last factor in two pieces."""
    product, rank = 1.0, 0
    for factor in ("w1", "w2"):
        whole = tensors.get(factor)
        if whole is None:
            first, second = tensors[f"{factor}_a"], tensors[f"{factor}_b"].flatten(1)
            whole, rank = first @ second, len(second)
        product *= float(torch.linalg.norm(whole))
    return product * (_scale(tensors, rank) if rank else 1.0)


def _of_block(part: str, block: str, norms: Sequence[float | None]) -> BlockNorm:
    known = [norm for norm in norms if norm is not None]
    total = sum(norm**2 for norm in known) ** 0.5
    return BlockNorm(part, block, len(known), total, max(known, default=0.0), len(norms) - len(known))


def _as_lines(path: Path, norms: Sequence[BlockNorm]) -> list[str]:
    largest = max((norm.norm for norm in norms), default=0.0) or 1.0
    lines = [path.name]
    for one in norms:
        bar = "█" * round(WIDTH * one.norm / largest)
        note = f", {one.not_computed} layers need the base model" if one.not_computed else ""
        lines.append(f"  {one.part + ' ' + one.block:<16} {one.norm:9.4f} {bar}{note}")
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
