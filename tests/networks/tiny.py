"""Small real models and the layers a LoRA may change in them."""

from __future__ import annotations

import re

import torch
from diffusers import UNet2DConditionModel
from tanren.diffusion.schedules import NoiseSchedule
from tanren.families.base import LoraTarget, Model, Placement, TextRules
from tanren.families.sd import FAMILY
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

UNET_CONTAINERS = ("Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D")
TEXT_CONTAINERS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")


def tiny_unet(seed: int = 0, **changes) -> UNet2DConditionModel:
    """All kinds of blocks of SD 1 in some ten thousand weights."""
    torch.manual_seed(seed)
    config = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
        **changes,
    }
    unet = UNet2DConditionModel(**config)
    return unet.requires_grad_(False).eval()


def tiny_text_encoder(seed: int = 0, **changes) -> CLIPTextModel:
    torch.manual_seed(seed)
    config = {
        "vocab_size": 64,
        "hidden_size": 12,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 8,
        "bos_token_id": 62,
        "eos_token_id": 63,
        "pad_token_id": 63,
        **changes,
    }
    return CLIPTextModel(CLIPTextConfig(**config)).requires_grad_(False).eval()


def unet_targets(unet: nn.Module) -> list[LoraTarget]:
    return [
        LoraTarget("lora_unet_" + path.replace(".", "_"), leaf, "unet", container, sd_block(path))
        for path, leaf, container in leaves(unet, UNET_CONTAINERS)
    ]


def text_targets(encoder: nn.Module) -> list[LoraTarget]:
    prefix = "lora_te_" if hasattr(encoder, "text_model") else "lora_te_text_model_"
    return [
        LoraTarget(prefix + path.replace(".", "_"), leaf, "text_encoder", container, None)
        for path, leaf, container in leaves(encoder, TEXT_CONTAINERS)
    ]


def leaves(root: nn.Module, containers: tuple[str, ...]) -> list[tuple[str, nn.Module, str]]:
    found = {}
    for path, module in root.named_modules():
        if type(module).__name__ in containers:
            for end, leaf in module.named_modules():
                if isinstance(leaf, (nn.Linear, nn.Conv2d)):
                    found[f"{path}.{end}"] = (leaf, type(module).__name__)
    return [(path, leaf, container) for path, (leaf, container) in found.items()]


def sd_block(path: str) -> int:
    """Block numbers of SD 1 and 2, from 1 to 24."""
    place = re.match(r"(down|up)_blocks\.(\d+)\.(\w+?)\.(\d+)", path)
    if place is None:
        return 12
    way, level, kind, layer = place.groups()
    within = 2 if kind.endswith("samplers") else int(layer)
    return (1 if way == "down" else 13) + 3 * int(level) + within


def forward(unet: nn.Module, seed: int = 1, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    dtype = unet.dtype
    x = torch.randn(batch, 4, 8, 8, generator=generator).to(dtype)
    text = torch.randn(batch, 5, 12, generator=generator).to(dtype)
    return unet(x, torch.tensor([10] * batch), text).sample


def tiny_model(seed: int = 0) -> Model:
    """SD 1 in small, with a text encoder that is as wide as the U-Net wants it."""
    cpu = Placement(torch.device("cpu"), torch.float32, torch.float32)
    return Model(
        family=FAMILY,
        denoiser=tiny_unet(seed),
        vae=nn.Identity(),
        text_encoders=[tiny_text_encoder(seed)],
        tokenizers=[],
        schedule=NoiseSchedule.stable_diffusion(),
        prediction_type="epsilon",
        placement=cpu,
        text=TextRules(),
    )


def forward_model(model: Model, seed: int = 1) -> torch.Tensor:
    """Prediction of the U-Net for text that went through the text encoder."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 60, (2, 6), generator=generator)
    text = model.text_encoders[0](ids).last_hidden_state
    return model.denoiser(torch.randn(2, 4, 8, 8, generator=generator), torch.tensor([10, 10]), text).sample
