"""The base model a small network was made for, told from the names and widths of its layers.

The width of the text that cross-attention reads tells the SD families apart (768, 1024, 2048); where no such layer is
in the file, or the model is of another size, the names and the depth of the blocks decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .network_names import TE, TE1, TE2, TE3, part_of, path_of

Roles = Mapping[str, Sequence[int]]
UNKNOWN = "unknown"
CONTEXT = {768: "sd1", 1024: "sd2", 1280: "sdxl_refiner", 2048: "sdxl"}
FLUX_WIDTH = 3072
_DEEP = re.compile(r"(?:input_blocks_\d+|output_blocks_\d+|middle_block|blocks_\d+)_.*transformer_blocks_([1-9]\d*)_")
_LAYER = re.compile(r"encoder_layers_(\d+)_")
_TEXT_PROJECTION = ("attn2_to_k", "attn2_to_v")
# Marks of transformers that are no base model of ours, but that collections hold; the first two look like FLUX.1.
_LIKE_FLUX = (("distilled_guidance_layer", "chroma"), ("double_stream_modulation", "flux2"))
_OTHERS = (
    ("cross_attn_k_img", "wan"),
    ("self_attn_o", "wan"),
    ("img_attn_q_proj", "hunyuan"),
    ("txt_in_individual_token_refiner", "hunyuan"),
    ("adaLN_modulation_1", "lumina2"),
)
TITLES = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "SDXL",
    "sdxl_refiner": "SDXL refiner",
    "sd3": "Stable Diffusion 3",
    "flux": "FLUX.1",
    "flux2": "FLUX.2",
    "chroma": "Chroma",
    "wan": "Wan",
    "hunyuan": "Hunyuan",
    "lumina2": "Lumina 2",
    UNKNOWN: "unknown",
}


def family_of_layers(layers: Mapping[str, Roles]) -> str:
    """The family, or "unknown".

    Args:
        layers: layer name -> role -> shape.
    """
    parts = {name: part_of(name) for name in layers}
    paths = {path_of(name): roles for name, roles in layers.items() if parts[name] not in (TE, TE1, TE2, TE3)}
    return _transformer_family(paths) or _unet_family(paths) or _text_family(layers, parts)


def input_width(roles: Roles) -> int | None:
    """How many numbers the layer reads, or None where the shapes do not say."""
    for role in ("down", "hada_w1_b", "diff"):
        if len(roles.get(role, ())) >= 2:
            return roles[role][1]
    # LoKr: the Kronecker product of two factors, each whole or in two pieces of which the second reads the input.
    factors = [roles.get(factor) or roles.get(f"{factor}_b") or () for factor in ("w1", "w2")]
    return factors[0][1] * factors[1][1] if all(len(shape) >= 2 for shape in factors) else None


def _transformer_family(paths: Mapping[str, Roles]) -> str | None:
    text = "\n".join(paths)
    if "joint_blocks_" in text:
        return "sd3"
    for mark, family in _LIKE_FLUX:
        if mark in text:
            return family
    if "single_blocks_" in text or "single_transformer_blocks_" in text or "double_blocks_" in text:
        return "flux"
    if re.search(r"^transformer_blocks_\d+_(attn_add_|attn_to_add_out|ff_context|norm1_context)", text, re.MULTILINE):
        widths = {input_width(roles) for path, roles in paths.items() if path.endswith("attn_to_q")}
        return "flux" if FLUX_WIDTH in widths else "sd3"
    if "_transformer_blocks_" in text or "resnets_" in text or "input_blocks_" in text:
        return None
    return next((family for mark, family in _OTHERS if mark in text), None)


def _unet_family(paths: Mapping[str, Roles]) -> str | None:
    unet = {
        path: roles
        for path, roles in paths.items()
        if path.startswith(("down_blocks", "up_blocks", "mid_block", "input_blocks", "output_blocks", "middle_block"))
    }
    if not unet:
        return None
    for path, roles in unet.items():
        family = CONTEXT.get(input_width(roles) or 0) if path.endswith(_TEXT_PROJECTION) else None
        if family is not None:
            return family
    # SDXL alone stacks several transformer blocks, and alone is written with the names of the original model.
    if any(_DEEP.search(path + "_") or path.startswith(("input_", "output_", "middle_")) for path in unet):
        return "sdxl"
    for path, roles in unet.items():
        if path.endswith(("_proj_in", "_proj_out")):
            # LoHa and LoKr flatten a 1x1 convolution, so they do not tell.
            shape = roles.get("down") or roles.get("diff") or ()
            if shape:
                # SD 1 projects with 1x1 convolutions, SD 2 with linear layers.
                return "sd1" if len(shape) == 4 else "sd2"
    return None


def _text_family(layers: Mapping[str, Roles], parts: Mapping[str, str]) -> str:
    used = set(parts.values())
    if TE2 in used:
        t5 = any(part == TE2 and "SelfAttention" in name for name, part in parts.items())
        return "flux" if t5 else "sdxl"
    if TE3 in used:
        return "flux"
    if TE not in used:
        return UNKNOWN
    numbers = [int(match[1]) for name in layers if (match := _LAYER.search(name))]
    widths = {input_width(roles) for name, roles in layers.items() if name.endswith("_q_proj")}
    if 1024 in widths or max(numbers, default=0) > 11:
        return "sd2"
    return "sd1" if 768 in widths or numbers else UNKNOWN
