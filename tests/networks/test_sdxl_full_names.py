"""Every layer of a full-size SDXL LoRA is found by A1111 and ComfyUI, and its factors fit the weight they change.

Both programs' rules are written down here as lora-file readers apply them; the models have their real sizes and no
weights.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from tanren.families import sdxl
from tanren.models.build import quiet_libraries
from tanren.models.configs import STANDARD
from tanren.models.save import ModelParts, ldm_tensors
from tanren.networks.modules import attach_network
from tanren.options.network import NetworkOptions
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

UNET, FIRST, SECOND = "model.diffusion_model.", "conditioner.embedders.0.", "conditioner.embedders.1."
PARTS_OF_A_TEXT_LAYER = {
    "self_attn_q_proj",
    "self_attn_k_proj",
    "self_attn_v_proj",
    "self_attn_out_proj",
    "mlp_fc1",
    "mlp_fc2",
}
BLOCKS_OF_RANK_0 = (4, 8, 12, 16, 20)
KINDS = {
    "plain": (),
    "convolutions": ("conv_dim=2", "conv_alpha=1"),
    "23 blocks": ("block_dims=" + ",".join(str(place % 4) for place in range(23)), "conv_dim=1"),
}
UNET_LAYERS = {"plain": 722, "convolutions": 788}


@pytest.fixture(scope="module")
def parts():
    configs = STANDARD["sdxl"]
    first, second = (CLIPTextConfig(**config) for config in configs.text_encoders)
    with torch.device("meta"), quiet_libraries():
        return ModelParts(
            configs,
            UNet2DConditionModel(**configs.unet),
            AutoencoderKL(**configs.vae),
            (CLIPTextModel(first), CLIPTextModelWithProjection(second)),
        )


@pytest.fixture(scope="module")
def checkpoint(parts):
    """Name to tensor of the single file."""
    return ldm_tensors(parts)


def layers_of(parts, kind):
    """Shapes of a file's tensors, by layer."""
    model = SimpleNamespace(family=sdxl.FAMILY, denoiser=parts.unet, text_encoders=list(parts.text_encoders))
    options = NetworkOptions(network_module="networks.lora", network_dim=1, network_args=KINDS[kind])
    network = attach_network(model, options, 1, lambda path: {})
    layers = {}
    for name, tensor in network.tensors().items():
        layer, part = name.split(".", 1)
        layers.setdefault(layer, {})[part] = tuple(tensor.shape)
    network.remove()
    return layers


@pytest.fixture(scope="module")
def loras(parts):
    return {kind: layers_of(parts, kind) for kind in KINDS}


@pytest.fixture(params=KINDS)
def lora(request, loras):
    return loras[request.param]


def test_counts(loras):
    for kind, layers in loras.items():
        prefixes = ("lora_unet_", "lora_te1_", "lora_te2_")
        unet, *texts = [sum(layer.startswith(prefix) for layer in layers) for prefix in prefixes]
        assert texts == [72, 192]
        assert unet + 264 == len(layers)
        assert unet == UNET_LAYERS.get(kind, unet)
        assert all(parts.keys() == {"lora_down.weight", "lora_up.weight", "alpha"} for parts in layers.values())


def test_blocks_have_the_rank_of_their_place_in_the_list(loras):
    first = {"input_blocks": 1, "middle_block": 10, "output_blocks": 13}
    narrow, wide = set(), set()
    for layer, parts in loras["23 blocks"].items():
        match = re.match(r"lora_unet_(input_blocks|middle_block|output_blocks)_(\d+)_", layer)
        if match is None:
            continue
        place = first[match[1]] + int(match[2])
        is_wide = parts["lora_down.weight"][2:] == (3, 3)
        assert parts["lora_down.weight"][0] == (1 if is_wide else place % 4)
        (wide if is_wide else narrow).add(place)
    # Blocks 0 and 22 hold no layers, 4 and 7 a wide convolution only, 11 none; rank 0 leaves wide convolutions alone.
    assert narrow == {*range(2, 22)} - {4, 7, *BLOCKS_OF_RANK_0}
    assert wide == {*range(2, 22)} - {11}


def comfyui_names(checkpoint):
    """Key of a LoRA -> weight it changes, as ComfyUI's table has them; None where it splits a fused matrix itself."""
    table = {
        "lora_unet_" + name.removeprefix(UNET).removesuffix(".weight").replace(".", "_"): tensor.shape
        for name, tensor in checkpoint.items()
        if name.startswith(UNET) and name.endswith(".weight")
    }
    for prefix, layers in (("lora_te1_", 12), ("lora_te2_", 32)):
        for layer in range(layers):
            for part in PARTS_OF_A_TEXT_LAYER:
                table[f"{prefix}text_model_encoder_layers_{layer}_{part}"] = None
    return table


def test_comfyui_finds_every_layer_and_its_factors_fit(lora, checkpoint):
    table = comfyui_names(checkpoint)
    for layer, parts in lora.items():
        assert layer in table, layer
        weight = table[layer]
        if weight is not None:
            assert parts["lora_up.weight"][0] == weight[0]
            assert parts["lora_down.weight"][1:] == weight[1:]


def a1111_module(layer):
    """The module that A1111 looks for, with its prefix of the part; q, k and v of OpenCLIP share `attn`."""
    if layer.startswith("lora_unet_"):
        return "diffusion_model_" + layer.removeprefix("lora_unet_")
    match = re.fullmatch(r"lora_te2_text_model_encoder_layers_(\d+)_(.+)", layer)
    if match is None:
        return "0_transformer_text_model_" + layer.removeprefix("lora_te1_text_model_")
    part = match[2].replace("mlp_fc1", "mlp_c_fc").replace("mlp_fc2", "mlp_c_proj").replace("self_attn", "attn")
    return f"1_model_transformer_resblocks_{match[1]}_" + re.sub(r"attn_[qkv]_proj$", "attn", part)


def test_a1111_finds_every_layer(lora, checkpoint):
    modules = set()
    for name in checkpoint:
        for prefix, named in ((UNET, "diffusion_model_"), (FIRST, "0_"), (SECOND, "1_")):
            if name.startswith(prefix):
                path = re.sub(r"[._](weight|bias)$", "", name.removeprefix(prefix)).replace(".", "_")
                modules.add(named + path.removesuffix("_in_proj"))

    assert {a1111_module(layer) for layer in lora} <= modules


def test_a1111_gets_all_four_projections_of_each_attention_of_openclip(lora):
    """It leaves an attention out whose LoRA lacks one of them."""
    for number in range(32):
        start = f"lora_te2_text_model_encoder_layers_{number}_"
        found = {layer.removeprefix(start) for layer in lora if layer.startswith(start)}
        assert found == PARTS_OF_A_TEXT_LAYER
