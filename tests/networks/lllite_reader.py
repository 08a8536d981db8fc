"""ControlNet-LLLite as a reader of files applies it, written from the format alone, without a module of the package."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def modules_of(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Layer -> its tensors by what stands behind the layer's name."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, rest = name.split(".", 1)
        found.setdefault(layer, {})[rest] = tensor
    return found


def strides_of(layer: Mapping[str, Tensor]) -> list[tuple[int, int]]:
    """(index in the file, stride) of the convolutions; the depth shows in which tensors there are."""
    if "conditioning1.4.weight" in layer:
        return [(0, 4), (2, 4), (4, 2)]
    return [(0, 4), (2, 4 if layer["conditioning1.2.weight"].shape[-1] == 4 else 2)]


def change(layer: Mapping[str, Tensor], x: Tensor, picture: Tensor) -> Tensor:
    """What is added to the input x (B, tokens, width) of a layer."""
    values = picture
    for place, (index, stride) in enumerate(strides_of(layer)):
        values = F.relu(values) if place else values
        weight, bias = layer[f"conditioning1.{index}.weight"], layer[f"conditioning1.{index}.bias"]
        values = F.conv2d(values, weight, bias, stride=stride)
    tokens = values.flatten(2).transpose(1, 2)
    tokens = torch.cat([tokens] * (x.shape[0] // tokens.shape[0]))
    seen = F.relu(x @ layer["down.0.weight"].T + layer["down.0.bias"])
    mixed = F.relu(torch.cat([tokens, seen], dim=2) @ layer["mid.0.weight"].T + layer["mid.0.bias"])
    return mixed @ layer["up.0.weight"].T + layer["up.0.bias"]


def steer(unet: nn.Module, tensors: Mapping[str, Tensor], picture: Tensor, strength: float) -> int:
    """Steer a live U-Net in diffusers' layout; returns how many layers were found in it."""
    found = 0
    by_name = modules_of(tensors)
    for path, module in unet.named_modules():
        layer = by_name.get(name_in_files(path))
        if layer is not None:
            found += 1
            module.register_forward_pre_hook(
                lambda _, given, layer=layer: (given[0] + strength * change(layer, given[0], picture),)
            )
    return found


def name_in_files(path: str) -> str:
    """`down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q` -> `lllite_unet_input_blocks_4_1_…`."""
    parts = path.split(".")
    if parts[0] == "down_blocks" and "transformer_blocks" in parts:
        # Each level has two pairs of blocks and one that halves; block 0 is the first convolution.
        number = 1 + 3 * int(parts[1]) + int(parts[3])
        return "_".join(["lllite_unet_input_blocks", str(number), "1", *parts[4:]])
    if path.startswith("mid_block.attentions.0."):
        return "_".join(["lllite_unet_middle_block_1", *parts[3:]])
    return ""
