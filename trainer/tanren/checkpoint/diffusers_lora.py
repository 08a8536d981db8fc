"""A LoRA in the layout of diffusers and PEFT: `<name>/pytorch_lora_weights.safetensors`, or `.bin`.

Tensors are called `unet.<path>.lora_A.weight` (rank, in[, kh, kw]) and `.lora_B.weight` (out, rank[, 1, 1]), with
`text_encoder.` and `text_encoder_2.` for the text encoders; paths are those of the modules in diffusers' pipelines. The
layout has no place for alpha: every reader takes it to be the rank, and older ones take all ranks of a model to be
equal. So the factor alpha / rank goes into the weights, and lower ranks are filled up with zeros, which changes nothing
of what the LoRA does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..networks.lora_weights import A, B, LayerWeights, read_layers
from .weights import save_weights


def save_for_diffusers(
    path: Path,
    tensors: Mapping[str, Tensor],
    dtype: torch.dtype | None,
    metadata: Mapping[str, str],
    *,
    paths: Mapping[str, str],
) -> None:
    """Write a network's file durably in diffusers' layout.

    Args:
        path: of the file; its folder must exist.
        tensors: under kohya's names.
        dtype: what they are cast to; None leaves them as they are.
        metadata: text by name, written where the format has room for it.
        paths: layer in kohya's files -> the layer's path in diffusers' pipelines.

    Raises:
        NumericError, StorageError: as `save_weights`.
    """
    save_weights(path, diffusers_tensors(tensors, paths), dtype, metadata)


def diffusers_tensors(tensors: Mapping[str, Tensor], paths: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors of a LoRA under diffusers' names.

    Args:
        tensors: under kohya's names.
        paths: as for `save_for_diffusers`; every layer has one.
    """
    layers = {paths[key]: layer for key, layer in read_layers(tensors, "the network").items()}
    ranks: dict[str, int] = {}
    for name, layer in layers.items():
        ranks[_part(name)] = max(layer.rank, ranks.get(_part(name), 0))
    found = {}
    for name, layer in layers.items():
        down, up = _scaled(layer)
        missing = ranks[_part(name)] - layer.rank
        found[f"{name}.{A}"] = torch.cat([down, down.new_zeros(missing, *down.shape[1:])])
        found[f"{name}.{B}"] = torch.cat([up, up.new_zeros(up.shape[0], missing, *up.shape[2:])], dim=1)
    return found


def _scaled(layer: LayerWeights) -> tuple[Tensor, Tensor]:
    """Down and up with alpha / rank in them, shared out evenly, so that small numbers stay within half precision."""
    scale = layer.alpha / layer.rank
    root = math.sqrt(abs(scale))
    down, up = layer.down.float() * root, layer.up.float() * math.copysign(root, scale)
    return down.to(layer.down.dtype), up.to(layer.up.dtype)


def _part(name: str) -> str:
    return name.partition(".")[0]
