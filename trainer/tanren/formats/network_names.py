"""The names of tensors in small networks, taken apart: which layer, which part of the model, which block, what it is.

Spellings known here: kohya and LyCORIS (`lora_unet_….lora_down.weight`), PEFT and diffusers (`unet.….lora_A.weight`,
`transformer.…`), older diffusers (`….lora.down.weight`, `….processor.to_q_lora.down.weight`), OneTrainer
(`lora_transformer_…`), ComfyUI's generic form (`diffusion_model.…`) and the names of ControlNet-LLLite.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Suffix after the layer's name -> (algorithm, role). Longer ones are looked up first.
ROLES: dict[str, tuple[str, str]] = {
    "lora_down.weight": ("lora", "down"),
    "lora_up.weight": ("lora", "up"),
    "lora_mid.weight": ("lora", "mid"),
    "lora_down.bias": ("lora", "bias"),
    "lora_up.bias": ("lora", "bias"),
    "lora_A.weight": ("lora", "down"),
    "lora_B.weight": ("lora", "up"),
    "lora_A.default.weight": ("lora", "down"),
    "lora_B.default.weight": ("lora", "up"),
    "lora_A": ("lora", "down"),
    "lora_B": ("lora", "up"),
    "lora_B.bias": ("lora", "bias"),
    "lora.down.weight": ("lora", "down"),
    "lora.up.weight": ("lora", "up"),
    "lora_linear_layer.down.weight": ("lora", "down"),
    "lora_linear_layer.up.weight": ("lora", "up"),
    "dora_scale": ("dora", "magnitude"),
    "lora_magnitude_vector": ("dora", "magnitude"),
    "lora_magnitude_vector.weight": ("dora", "magnitude"),
    "lora_magnitude_vector.default.weight": ("dora", "magnitude"),
    "hada_w1_a": ("loha", "hada_w1_a"),
    "hada_w1_b": ("loha", "hada_w1_b"),
    "hada_w2_a": ("loha", "hada_w2_a"),
    "hada_w2_b": ("loha", "hada_w2_b"),
    "hada_t1": ("loha", "hada_t1"),
    "hada_t2": ("loha", "hada_t2"),
    "lokr_w1": ("lokr", "w1"),
    "lokr_w1_a": ("lokr", "w1_a"),
    "lokr_w1_b": ("lokr", "w1_b"),
    "lokr_w2": ("lokr", "w2"),
    "lokr_w2_a": ("lokr", "w2_a"),
    "lokr_w2_b": ("lokr", "w2_b"),
    "lokr_t2": ("lokr", "t2"),
    "a1.weight": ("glora", "a1"),
    "a2.weight": ("glora", "a2"),
    "b1.weight": ("glora", "b1"),
    "b2.weight": ("glora", "b2"),
    "bm.weight": ("glora", "bm"),
    "oft_blocks": ("oft", "blocks"),
    "oft_diag": ("oft", "diag"),
    "oft_R.weight": ("oft", "blocks"),
    "rescale": ("oft", "rescale"),
    "diff": ("full", "diff"),
    "diff_b": ("full", "bias"),
    "w_norm": ("norm", "diff"),
    "b_norm": ("norm", "bias"),
    "on_input": ("ia3", "on_input"),
    "q_layer.weight": ("tlora", "down"),
    "p_layer.weight": ("tlora", "up"),
    "alpha": ("", "alpha"),
    "scale": ("", "scale"),
    "conditioning1.0.weight": ("lllite", "conditioning"),
    "down.0.weight": ("lllite", "down"),
    "mid.0.weight": ("lllite", "mid"),
    "up.0.weight": ("lllite", "up"),
    "conditioning1.2.weight": ("lllite", "conditioning 2"),
    "conditioning1.4.weight": ("lllite", "conditioning 4"),
    **{f"conditioning1.{index}.bias": ("lllite", f"conditioning {index} bias") for index in (0, 2, 4)},
    **{f"{part}.0.bias": ("lllite", f"{part} bias") for part in ("down", "mid", "up")},
}
# The attention processors of older diffusers, and xlabs' files: the layer's name ends in these, without a dot.
_PROCESSOR = re.compile(r"(?P<layer>.+?)_?lora(?P<number>\d?)$")

DENOISER, TE, TE1, TE2, TE3, EMBEDDING, OTHER = "unet", "te", "te1", "te2", "te3", "embedding", "other"
# Beginning of a layer's name -> part; the first that fits counts.
_PARTS: dict[str, str] = {
    "lora_te1_": TE1,
    "lora_te2_": TE2,
    "lora_te3_": TE3,
    "lora_te_": TE,
    "lora_unet_": DENOISER,
    "lora_transformer_": DENOISER,
    "lora_prior_unet_": DENOISER,
    "oft_unet_": DENOISER,
    "lllite_unet_": DENOISER,
    "lllite_": DENOISER,
    "lycoris_": DENOISER,
    "base_model.model.": DENOISER,
    "model.diffusion_model.": DENOISER,
    "diffusion_model.": DENOISER,
    "transformer.": DENOISER,
    "unet.": DENOISER,
    "text_encoders.clip_l.": TE1,
    "text_encoders.clip_g.": TE2,
    "text_encoders.t5xxl.": TE3,
    "text_encoder_3.": TE3,
    "text_encoder_2.": TE2,
    "text_encoder.": TE1,
    "bundle_emb.": EMBEDDING,
}
_PREFIX = re.compile("|".join(map(re.escape, _PARTS)))
_BLOCKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"input_blocks_(\d+)_"), "in {}"),
    (re.compile(r"output_blocks_(\d+)_"), "out {}"),
    (re.compile(r"middle_block_"), "mid"),
    (re.compile(r"mid_block_"), "mid"),
    (re.compile(r"down_blocks_(\d+)_"), "down {}"),
    (re.compile(r"up_blocks_(\d+)_"), "up {}"),
    (re.compile(r"double_blocks_(\d+)_"), "double {}"),
    (re.compile(r"single_blocks_(\d+)_"), "single {}"),
    (re.compile(r"joint_blocks_(\d+)_"), "joint {}"),
    (re.compile(r"single_transformer_blocks_(\d+)_"), "single {}"),
    (re.compile(r"transformer_blocks_(\d+)_"), "double {}"),
    (re.compile(r"encoder_layers_(\d+)_"), "layer {}"),
    (re.compile(r"encoder_block_(\d+)_"), "layer {}"),
    (re.compile(r"(?:^|_)(?:blocks|layers)_(\d+)_"), "block {}"),
)


class TensorName(NamedTuple):
    """One tensor's name, taken apart.

    Args:
        layer: the layer of the base model, as the file spells it.
        algorithm: "lora", "loha" …; empty for alphas, which all have.
        role: what the tensor is within the layer.
    """

    layer: str
    algorithm: str
    role: str


def split_name(name: str) -> TensorName | None:
    """Layer and role of a tensor, or None when it belongs to no small network that is known."""
    layer, _, suffix = name.partition(".")
    known = ROLES.get(suffix)
    if known is not None:
        return TensorName(layer, *known)
    parts = name.split(".")
    for count in (3, 2, 1):
        found = ROLES.get(".".join(parts[-count:])) if len(parts) > count else None
        if found is not None:
            return TensorName(".".join(parts[:-count]), *found)
    if len(parts) > 2 and parts[-1] == "weight" and parts[-2] in ("down", "up"):
        # `….attn1.processor.to_q_lora.down.weight`, and xlabs' `double_blocks.0.processor.qkv_lora1.down.weight`.
        match = _PROCESSOR.fullmatch(".".join(parts[:-2]))
        if match is not None:
            layer = match["layer"].replace(".processor.", ".")
            return TensorName(layer + match["number"], "lora", parts[-2])
    return None


def part_of(layer: str) -> str:
    """Which part of the model a layer lies in: "unet" (or transformer), "te", "te1", "te2", "te3", …"""
    prefix = _PREFIX.match(layer)
    if prefix is not None:
        return _PARTS[prefix[0]]
    return DENOISER if block_of(layer) != OTHER else OTHER


def path_of(layer: str) -> str:
    """The layer's path without the prefix, its dots as underscores."""
    prefix = _PREFIX.match(layer)
    return (layer if prefix is None else layer[prefix.end() :]).replace(".", "_")


def block_of(layer: str) -> str:
    """The block a layer lies in, in a few words ("in 4", "mid", "double 7", "layer 11"), or "other"."""
    path = path_of(layer) + "_"
    for pattern, words in _BLOCKS:
        match = pattern.search(path)
        if match is not None:
            return words.format(*match.groups())
    return OTHER
