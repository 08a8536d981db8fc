"""Small random models in the layouts that people's files have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from tanren.models.build import quiet_libraries
from tanren.models.configs import CLIP_COMMON, SD1_UNET, SD2_UNET, SD_VAE, SDXL_UNET, SDXL_VAE, STANDARD, Configs
from tanren.models.save import ModelParts, write_single_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

TINY_WIDTHS = (8, 16, 24, 24)
TINY_UNET = {"block_out_channels": TINY_WIDTHS, "cross_attention_dim": 16, "norm_num_groups": 4, "sample_size": 8}
TINY_VAE = {
    **SD_VAE,
    "block_out_channels": (4, 8, 8, 8),
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "sample_size": 64,
}
TINY_CLIP = {
    **CLIP_COMMON,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "projection_dim": 16,
}
TINY = {
    "sd1": Configs(
        "sd1",
        {**SD1_UNET, **TINY_UNET, "attention_head_dim": 2},
        TINY_VAE,
        ({**TINY_CLIP, "hidden_act": "quick_gelu"},),
    ),
    "sd2": Configs(
        "sd2",
        {**SD2_UNET, **TINY_UNET, "attention_head_dim": (1, 2, 3, 3)},
        TINY_VAE,
        ({**TINY_CLIP, "hidden_act": "gelu"},),
    ),
    "sdxl": Configs(
        "sdxl",
        {
            **SDXL_UNET,
            **TINY_UNET,
            "block_out_channels": TINY_WIDTHS[:3],
            "attention_head_dim": (1, 2, 3),
            "cross_attention_dim": 40,
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 20 + 6 * 8,
        },
        {**TINY_VAE, "scaling_factor": SDXL_VAE["scaling_factor"]},
        (
            {**TINY_CLIP, "hidden_act": "quick_gelu"},
            {**TINY_CLIP, "hidden_act": "gelu", "hidden_size": 24, "num_hidden_layers": 4, "projection_dim": 20},
        ),
    ),
}
# The same blocks with one transformer layer each instead of up to ten: steps take a fifth of the time.
TINY["shallow sdxl"] = replace(TINY["sdxl"], unet={**TINY["sdxl"].unet, "transformer_layers_per_block": (1, 1, 1)})
TEXT_CLASSES = (CLIPTextModel, CLIPTextModelWithProjection)


def tiny_parts(family: str = "sd1", seed: int = 0) -> ModelParts:
    """A random model of real topology: every module of the full-size U-Net is there, a few channels wide."""
    with torch.random.fork_rng(), quiet_libraries():
        torch.manual_seed(seed)
        configs = TINY[family]
        return ModelParts(
            configs,
            _lively(UNet2DConditionModel(**configs.unet)),
            _lively(AutoencoderKL(**configs.vae)),
            tuple(
                _lively(kind(CLIPTextConfig(**config)))
                for kind, config in zip(TEXT_CLASSES, configs.text_encoders, strict=False)
            ),
        )


def tiny_sd(path: Path, family: str = "sd1", *, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """Write `tiny_parts` as a single file in the ldm layout, with its configs in the header."""
    write_single_file(path, tiny_parts(family, seed), dtype=dtype)
    return path


def _lively(model: Any) -> Any:
    """Biases and norms start at constants, which would hide names that were mixed up."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def full_size_sd15(path: Path, *, seed: int = 0) -> Path:
    """Write a random Stable Diffusion 1.5 in half precision (2 GB) without its fp32 weights ever existing together."""
    configs = STANDARD["sd1"]
    with torch.device("meta"), quiet_libraries():
        unet: nn.Module = UNet2DConditionModel(**configs.unet)
        vae: nn.Module = AutoencoderKL(**configs.vae)
        text: nn.Module = CLIPTextModel(CLIPTextConfig(**configs.text_encoders[0]))
    generator = torch.Generator().manual_seed(seed)
    for model in (unet, vae, text):
        _random_half_weights(model, generator)
    write_single_file(path, ModelParts(configs, unet, vae, (text,)), dtype=torch.float16)
    return path


def _random_half_weights(model: nn.Module, generator: torch.Generator) -> None:
    weights = {}
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 1:
            weights[name] = torch.full(tensor.shape, float(name.endswith("weight")), dtype=torch.float16)
            continue
        spread = tensor[0].numel() ** -0.5
        weights[name] = torch.randn(tensor.shape, generator=generator).mul_(spread).half()
    model.load_state_dict(weights, assign=True)
