"""Names of CLIP text encoder weights.

Our own spelling is Hugging Face's without the leading `text_model.` (transformers dropped that level in 5.6; files and
LoRA names keep it). SD 1 files hold Hugging Face names, SD 2 files those of OpenCLIP, where the three projections of an
attention are one matrix with the rows of query, key and value in this order. SDXL files hold one encoder of each kind.
OpenCLIP's projection of the pooled state is the transpose of Hugging Face's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..formats.checkpoint_kind import SD1, SD2, SDXL

HF_LEVEL = "text_model."
SD1_PREFIX = "cond_stage_model.transformer.text_model."
SD2_PREFIX = "cond_stage_model.model."
SDXL_PREFIXES = ("conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model.")
HF_PREFIXES = (SD1_PREFIX, "cond_stage_model.transformer.", SDXL_PREFIXES[0])
OPENCLIP_PREFIXES = (SD2_PREFIX, "conditioner.embedders.0.model.")
PROJECTIONS = ("q_proj", "k_proj", "v_proj")
PROJECTION, OPENCLIP_PROJECTION = "text_projection.weight", "text_projection"
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


@dataclass(frozen=True)
class TextLayout:
    """Where the weights of a text encoder stand in a single file.

    Args:
        prefixes: tried in this order.
        is_openclip: has OpenCLIP's names, else Hugging Face's.
        projects: its projection of the pooled state is used.
    """

    prefixes: tuple[str, ...]
    is_openclip: bool = False
    projects: bool = False


LAYOUTS = {
    SD1: (TextLayout(HF_PREFIXES),),
    SD2: (TextLayout(OPENCLIP_PREFIXES, is_openclip=True),),
    SDXL: (TextLayout(SDXL_PREFIXES[:1]), TextLayout(SDXL_PREFIXES[1:], is_openclip=True, projects=True)),
}


def openclip_table(layers: int) -> dict[str, str]:
    """Our weight names -> OpenCLIP's, for all but the fused projections."""
    table = dict(ENDS)
    for layer in range(layers):
        for ours, theirs in LAYER_PARTS.items():
            for kind in ("weight", "bias"):
                table[f"encoder.layers.{layer}.{ours}.{kind}"] = f"transformer.resblocks.{layer}.{theirs}.{kind}"
    return table


def in_single_file(tensors: Mapping[str, Tensor], layout: TextLayout, layers: int) -> dict[str, Tensor]:
    """Weights of one encoder under our names; empty when the file has none.

    Args:
        tensors: of the whole file.
        layout: where to look.
        layers: that the encoder has; blocks behind them are left out.
    """
    for prefix in layout.prefixes:
        found = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        if found and layout.is_openclip:
            return from_openclip(found, layers, projects=layout.projects)
        if found:
            return without_extras(found)
    return {}


def without_extras(tensors: Mapping[str, Tensor], *, projects: bool = False) -> dict[str, Tensor]:
    """Hugging Face weights under our names, without what no encoder here needs."""
    ours = {without_hf_level(name): tensor for name, tensor in tensors.items()}
    return {
        name: tensor for name, tensor in ours.items() if not IGNORED.search(name) or (projects and name == PROJECTION)
    }


def from_openclip(tensors: Mapping[str, Tensor], layers: int, *, projects: bool = False) -> dict[str, Tensor]:
    """Weights under our names; the projections are views of the fused matrix. Blocks from `layers` on are left out."""
    ours = {name: tensors[theirs] for name, theirs in openclip_table(layers).items() if theirs in tensors}
    for layer in range(layers):
        for kind in ("weight", "bias"):
            fused = tensors.get(f"transformer.resblocks.{layer}.attn.in_proj_{kind}")
            if fused is not None and fused.shape[0] % len(PROJECTIONS) == 0:
                names = [f"encoder.layers.{layer}.self_attn.{part}.{kind}" for part in PROJECTIONS]
                ours |= dict(zip(names, fused.chunk(len(PROJECTIONS)), strict=True))
    if projects and OPENCLIP_PROJECTION in tensors:
        ours[PROJECTION] = tensors[OPENCLIP_PROJECTION].t()
    return ours


def to_openclip(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The reverse of `from_openclip`."""
    theirs = {other: tensors[name] for name, other in openclip_table(layers).items()}
    for layer in range(layers):
        for kind in ("weight", "bias"):
            parts = [tensors[f"encoder.layers.{layer}.self_attn.{part}.{kind}"] for part in PROJECTIONS]
            theirs[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(parts)
    if PROJECTION in tensors:
        theirs[OPENCLIP_PROJECTION] = tensors[PROJECTION].t()
    return theirs


def without_hf_level(name: str) -> str:
    """Our spelling of a Hugging Face name, with or without `text_model.`."""
    return name.removeprefix(HF_LEVEL)
