"""Names of CLIP text encoder weights.

Our own spelling is Hugging Face's without the leading `text_model.` (transformers dropped that level in 5.6; files and
LoRA names keep it). SD 1 files hold Hugging Face names, SD 2 files those of OpenCLIP, where the three projections of an
attention are one matrix with the rows of query, key and value in this order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

HF_LEVEL = "text_model."
SD1_PREFIX = "cond_stage_model.transformer.text_model."
SD2_PREFIX = "cond_stage_model.model."
HF_PREFIXES = (SD1_PREFIX, "cond_stage_model.transformer.", "conditioner.embedders.0.transformer.text_model.")
OPENCLIP_PREFIXES = (SD2_PREFIX, "conditioner.embedders.0.model.")
PROJECTIONS = ("q_proj", "k_proj", "v_proj")
ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
LAYER_PARTS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
IGNORED = re.compile(r"(^|\.)(position_ids|text_projection(\.weight)?|logit_scale)$|(^|\.)vision_model\.")


def openclip_table(layers: int) -> dict[str, str]:
    """Our weight names -> OpenCLIP's, for all but the fused projections."""
    table = dict(ENDS)
    for layer in range(layers):
        for ours, theirs in LAYER_PARTS.items():
            for kind in ("weight", "bias"):
                table[f"encoder.layers.{layer}.{ours}.{kind}"] = f"transformer.resblocks.{layer}.{theirs}.{kind}"
    return table


def from_openclip(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Weights under our names; the projections are views of the fused matrix. Blocks from `layers` on are left out."""
    ours = {name: tensors[theirs] for name, theirs in openclip_table(layers).items() if theirs in tensors}
    for layer in range(layers):
        for kind in ("weight", "bias"):
            fused = tensors.get(f"transformer.resblocks.{layer}.attn.in_proj_{kind}")
            if fused is not None and fused.shape[0] % len(PROJECTIONS) == 0:
                names = [f"encoder.layers.{layer}.self_attn.{part}.{kind}" for part in PROJECTIONS]
                ours |= dict(zip(names, fused.chunk(len(PROJECTIONS)), strict=True))
    return ours


def to_openclip(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The reverse of `from_openclip`."""
    theirs = {other: tensors[name] for name, other in openclip_table(layers).items()}
    for layer in range(layers):
        for kind in ("weight", "bias"):
            parts = [tensors[f"encoder.layers.{layer}.self_attn.{part}.{kind}"] for part in PROJECTIONS]
            theirs[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(parts)
    return theirs


def without_hf_level(name: str) -> str:
    """Our spelling of a Hugging Face name, with or without `text_model.`."""
    return name.removeprefix(HF_LEVEL)
