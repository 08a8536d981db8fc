"""Weights of LoRA files: from a flat dict of tensors to layers, and into the weights of a live model.

Names are kohya's: `<layer>.lora_down.weight` (rank, in[, kh, kw]), `<layer>.lora_up.weight` (out, rank[, 1, 1]) and
`<layer>.alpha`, one number, which older files may lack (then alpha = rank). Text encoder names without `text_model_`,
as some programs write them with transformers 5.6 and newer, are read too, and so are files in diffusers' layout:
`unet.<path>.lora_A.weight` and `.lora_B.weight`, which have no alpha.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import ModelFileError
from ..families.base import LoraTarget

A, B = "lora_A.weight", "lora_B.weight"
DOWN, UP, ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
FLATTENED_CLIP = re.compile(r"^(lora_te\d?)_encoder_layers_")
SHOWN = 5


@dataclass(frozen=True)
class LayerWeights:
    """One layer of a LoRA file.

    Args:
        down: (rank, in) or (rank, in, kh, kw).
        up: (out, rank) or (out, rank, 1, 1).
        alpha: as stored, or the rank where the file has none.
    """

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Rows of down."""
        return self.down.shape[0]


def read_layers(tensors: Mapping[str, Tensor], where: str) -> dict[str, LayerWeights]:
    """Group tensors by layer.

    Args:
        tensors: as stored in a file.
        where: the file, for messages.

    Raises:
        ModelFileError: tensors that no plain LoRA has, shapes that do not fit each other, values that are not finite.
    """
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, tensor in tensors.items():
        layer, _, part = name.partition(".")
        parts[FLATTENED_CLIP.sub(r"\1_text_model_encoder_layers_", layer)][part] = tensor
    strange = [f"{layer}.{part}" for layer, found in parts.items() for part in found if part not in (DOWN, UP, ALPHA)]
    strange += [f"{layer} without {part}" for layer, found in parts.items() for part in (DOWN, UP) if part not in found]
    if strange or not parts:
        what = f"this is not a plain LoRA: {_listed(strange)}." if strange else "this file holds no layers."
        raise ModelFileError(where=where, what=what, fix="Give a LoRA of the kind that networks.lora writes.")
    return {layer: _layer(layer, found, where) for layer, found in parts.items()}


def _layer(name: str, found: Mapping[str, Tensor], where: str) -> LayerWeights:
    down, up = found[DOWN], found[UP]
    alpha = found.get(ALPHA)
    if down.dim() not in (2, 4) or up.dim() not in (2, 4) or up.shape[1] != down.shape[0]:
        shapes = f"{list(down.shape)} and {list(up.shape)}"
        raise ModelFileError(where=where, what=f"down and up of {name} do not fit each other: {shapes}.")
    if alpha is not None and alpha.numel() != 1:
        raise ModelFileError(where=where, what=f"alpha of {name} is not one number.")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in found.values()):
        raise ModelFileError(where=where, what=f"{name} has values that are not finite.", fix="Use an earlier file.")
    return LayerWeights(down, up, float(down.shape[0]) if alpha is None else float(alpha))


def layers_for(targets: Sequence[LoraTarget], tensors: Mapping[str, Tensor], where: str) -> dict[str, LayerWeights]:
    """The layers of a file by the model's own keys, whichever of the known spellings the file has.

    Raises:
        ModelFileError: see `read_layers`, `refuse_strangers`.
    """
    tensors = _renamed(targets, tensors)
    by_alias = {target.alias: target.key for target in targets if target.alias is not None}
    layers = {by_alias.get(key, key): layer for key, layer in read_layers(tensors, where).items()}
    refuse_strangers(layers, targets, where)
    return layers


def _renamed(targets: Sequence[LoraTarget], tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Tensors of a file in diffusers' layout under kohya's names; others as they are."""
    if not all(name.endswith((A, B)) for name in tensors):
        return tensors
    keys = {target.path: target.key for target in targets}
    renamed = {}
    for name, tensor in tensors.items():
        path, part = name.split(".lora_", 1)
        renamed[f"{keys.get(path, path.replace('.', '_'))}.{DOWN if part[0] == 'A' else UP}"] = tensor
    return renamed


def refuse_strangers(layers: Iterable[str], targets: Sequence[LoraTarget], where: str) -> None:
    """Refuse layers that the model does not have.

    Raises:
        ModelFileError: the file was made for another kind of model.
    """
    known = {target.key for target in targets}
    strange = sorted(layer for layer in layers if layer not in known)
    if strange:
        raise ModelFileError(
            where=where,
            what=f"{len(strange)} layers of this file are not in the model: {_listed(strange)}.",
            fix="Give a LoRA that was trained on the same kind of model.",
        )


def shaped_like(tensor: Tensor, shape: torch.Size, name: str, where: str) -> Tensor:
    """The tensor in `shape`; a 1×1 convolution and a Linear of the same sizes may stand for each other.

    Raises:
        ModelFileError: another size.
    """
    if tensor.shape == shape:
        return tensor
    if tensor.shape[:2] == shape[:2] and tensor.numel() == shape.numel():
        return tensor.reshape(shape)
    raise ModelFileError(
        where=where,
        what=f"{name} is {list(tensor.shape)}, here {list(shape)} is needed.",
        fix="If only the rank differs, add --dim_from_weights or give the file's --network_dim.",
    )


def weight_change(layer: LayerWeights, shape: torch.Size) -> Tensor:
    """Alpha / rank · up · down, in float32, in the shape of the layer's weight."""
    product = layer.up.float().flatten(1) @ layer.down.float().flatten(1)
    return product.mul_(layer.alpha / layer.rank).reshape(shape)


def merge(targets: Sequence[LoraTarget], tensors: Mapping[str, Tensor], multiplier: float, where: str) -> int:
    """Add a LoRA to the weights of the live model, in float32, whatever dtypes both have.

    Args:
        targets: every layer of the model that a LoRA may change.
        tensors: content of the LoRA file.
        multiplier: its strength.
        where: the file, for messages.

    Returns:
        The number of layers that changed.

    Raises:
        ModelFileError: see `layers_for`; or a layer of another size.
    """
    layers = layers_for(targets, tensors, where)
    by_key = {target.key: target.module for target in targets}
    check_sizes(layers, by_key, where)
    for key, layer in layers.items():
        weight = by_key[key].get_parameter("weight")
        change = weight_change(layer, weight.shape).to(weight.device)
        # A new tensor: the old one may be a mapped file, shared with other processes.
        weight.data = change.mul_(multiplier).add_(weight.detach()).to(weight.dtype)
    return len(layers)


def check_sizes(layers: Mapping[str, LayerWeights], modules: Mapping[str, nn.Module], where: str) -> None:
    """Refuse layers that change a weight of another size than the model's of the same name.

    Raises:
        ModelFileError: the file was made for another model.
    """
    for key, layer in layers.items():
        _check_size(key, layer, modules[key], where)


def _check_size(key: str, layer: LayerWeights, module: nn.Module, where: str) -> None:
    weight = module.get_parameter("weight")
    fits = layer.up.shape[0] == weight.shape[0] and layer.down[0].numel() == weight[0].numel()
    if not fits:
        what = f"{key} changes a layer of {layer.up.shape[0]}×{layer.down[0].numel()}, here it is {list(weight.shape)}."
        raise ModelFileError(where=where, what=what, fix="Give a LoRA that was trained on the same kind of model.")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
