"""Names of U-Net weights: diffusers' on our side, ldm's in single files.

The table maps module paths, so it serves weights and biases alike. Inside a transformer both sides use the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "model.diffusion_model."
RESNET_PARTS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    # SDXL's alone: of the sizes and the pooled text.
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def unet_table(levels: int = 4, layers: int = 2, plain_up: tuple[int, ...] = (0,)) -> dict[str, str]:
    """diffusers module path -> ldm module path, without the prefix.

    Args:
        levels: resolutions of the U-Net: 4 for SD 1 and SD 2, 3 for SDXL.
        layers: resnets per down block; an up block has one more.
        plain_up: up blocks without attention; their upsampler stands where the attention would.
    """
    table = dict(ENDS)
    for level in range(levels):
        first = (layers + 1) * level
        for layer in range(layers):
            _add_resnet(table, f"down_blocks.{level}.resnets.{layer}", f"input_blocks.{first + layer + 1}.0")
            table[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{first + layer + 1}.1"
        table[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{first + layers + 1}.0.op"
        for layer in range(layers + 1):
            _add_resnet(table, f"up_blocks.{level}.resnets.{layer}", f"output_blocks.{first + layer}.0")
            table[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{first + layer}.1"
        place = 1 if level in plain_up else 2
        table[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{first + layers}.{place}.conv"
    for layer in range(2):
        _add_resnet(table, f"mid_block.resnets.{layer}", f"middle_block.{2 * layer}")
    table["mid_block.attentions.0"] = "middle_block.1"
    return table


def sgm_table() -> dict[str, str]:
    """The table for SDXL, also for the modules that hold layers: resnets, downsamplers and upsamplers."""
    table = unet_table(levels=3, plain_up=(2,))
    ends = {".conv1": f".{RESNET_PARTS['conv1']}", ".downsamplers.0.conv": ".op", ".upsamplers.0.conv": ".conv"}
    for ours, theirs in list(table.items()):
        for end, their_end in ends.items():
            if ours.endswith(end):
                inner = end.rpartition(".")[2]
                table[ours.removesuffix(f".{inner}")] = theirs.removesuffix(their_end)
    return table


def table_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The table for the U-Net that a diffusers config describes."""
    plain_up = tuple(level for level, kind in enumerate(config["up_block_types"]) if kind == "UpBlock2D")
    return unet_table(len(config["block_out_channels"]), config.get("layers_per_block", 2), plain_up)


def _add_resnet(table: dict[str, str], ours: str, theirs: str) -> None:
    for part, ldm_part in RESNET_PARTS.items():
        table[f"{ours}.{part}"] = f"{theirs}.{ldm_part}"


def renamed(name: str, table: Mapping[str, str]) -> str | None:
    """The name on the table's other side: the longest module path in the table is replaced, the rest stays.

    None when no entry fits.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        other = table.get(".".join(parts[:length]))
        if other is not None:
            return ".".join([other, *parts[length:]])
    return None
