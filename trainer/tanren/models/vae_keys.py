"""Names of autoencoder weights: diffusers' on our side, ldm's in single files, others in old diffusers folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "first_stage_model."
PREFIXES = (PREFIX, "vae.", "")
ATTENTION_PARTS = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
# Folders written before diffusers 0.13 (Stable Diffusion 1.5's own among them) call the same layers so.
OLD_ATTENTION_PARTS = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
RESNET_PARTS = {
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "conv_shortcut": "nin_shortcut",
}


def vae_table(levels: int = 4, layers: int = 2) -> dict[str, str]:
    """diffusers module path -> ldm module path, without the prefix.

    Args:
        levels: resolutions; ldm counts the decoder's from the largest picture, diffusers from the smallest.
        layers: resnets per encoder block; a decoder block has one more.
    """
    table = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for level in range(levels):
        for layer in range(layers):
            _add(table, f"encoder.down_blocks.{level}.resnets.{layer}", f"encoder.down.{level}.block.{layer}")
        table[f"encoder.down_blocks.{level}.downsamplers.0.conv"] = f"encoder.down.{level}.downsample.conv"
        mirrored = levels - 1 - level
        for layer in range(layers + 1):
            _add(table, f"decoder.up_blocks.{level}.resnets.{layer}", f"decoder.up.{mirrored}.block.{layer}")
        table[f"decoder.up_blocks.{level}.upsamplers.0.conv"] = f"decoder.up.{mirrored}.upsample.conv"
    for half in ("encoder", "decoder"):
        table |= {f"{half}.conv_in": f"{half}.conv_in", f"{half}.conv_out": f"{half}.conv_out"}
        table[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        for layer in range(2):
            _add(table, f"{half}.mid_block.resnets.{layer}", f"{half}.mid.block_{layer + 1}")
        for ours, theirs in ATTENTION_PARTS.items():
            table[f"{half}.mid_block.attentions.0.{ours}"] = f"{half}.mid.attn_1.{theirs}"
    return table


def table_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The table for the autoencoder that a diffusers config describes."""
    return vae_table(len(config["block_out_channels"]), config.get("layers_per_block", 1))


def old_diffusers_table() -> dict[str, str]:
    """Attention names of old diffusers folders -> today's."""
    block = "mid_block.attentions.0"
    return {
        f"{half}.{block}.{old}": f"{half}.{block}.{new}"
        for half in ("encoder", "decoder")
        for old, new in OLD_ATTENTION_PARTS.items()
    }


def _add(table: dict[str, str], ours: str, theirs: str) -> None:
    for part, ldm_part in RESNET_PARTS.items():
        table[f"{ours}.{part}"] = f"{theirs}.{ldm_part}"
