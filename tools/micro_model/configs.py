"""The micro models' shapes: the topology of the real family, small numbers in place of the large ones."""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

Config = dict[str, Any]

# Widths must differ where the real ones do (c0 != c1 != c2 == c3): a shortcut convolution exists only there.
SD1_UNET: Config = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [32, 48, 64, 64],
    "layers_per_block": 2,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 64,
    "attention_head_dim": 4,  # the number of heads, as in every SD1.x config
    "norm_num_groups": 8,
}
SD1_VAE: Config = {
    "sample_size": 64,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [16, 24, 32, 32],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 4,
    "norm_num_groups": 2,
    "scaling_factor": 0.18215,
}
SD1_TEXT_ENCODER: Config = {
    "vocab_size": 49408,
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "projection_dim": 64,
    "hidden_act": "quick_gelu",
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}


# SDXL's topology with all 1680 tensors: three levels, transformers of 1, 2 and 10 layers, sizes and pooled text.
SDXL_UNET: Config = {
    **SD1_UNET,
    "sample_size": 16,
    "block_out_channels": [32, 48, 56],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "cross_attention_dim": 40 + 64,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 16,
    "projection_class_embeddings_input_dim": 64 + 6 * 16,
}
SDXL_VAE: Config = {**SD1_VAE, "sample_size": 128, "scaling_factor": 0.13025}
# Narrower than the second one, as CLIP-L is beside bigG: whoever confuses them gets an error.
SDXL_TEXT_ENCODER: Config = {**SD1_TEXT_ENCODER, "hidden_size": 40, "intermediate_size": 160, "projection_dim": 40}
SDXL_TEXT_ENCODER_2: Config = {**SD1_TEXT_ENCODER, "hidden_act": "gelu", "pad_token_id": 0}


@dataclass(frozen=True)
class MicroConfig:
    """Component configs of one micro model, as its file carries them in `tanren.config`."""

    family: str
    unet: Config
    vae: Config
    text_encoders: tuple[Config, ...]

    @property
    def latent_scale(self) -> float:
        return float(self.vae["scaling_factor"])


MICRO_SD = MicroConfig("sd1", SD1_UNET, SD1_VAE, (SD1_TEXT_ENCODER,))
MICRO_SDXL = MicroConfig("sdxl", SDXL_UNET, SDXL_VAE, (SDXL_TEXT_ENCODER, SDXL_TEXT_ENCODER_2))
TEXT_CLASSES = (CLIPTextModel, CLIPTextModelWithProjection)


def build_vae(config: MicroConfig) -> AutoencoderKL:
    return AutoencoderKL(**config.vae)


def build_unet(config: MicroConfig) -> UNet2DConditionModel:
    """A new U-Net whose residual branches start at zero, as in the original latent-diffusion code.

    So do the layers inside of deep transformers.
    """
    unet = UNet2DConditionModel(**config.unet)
    branches = ("conv2", "proj_out", *(("to_out.0", "ff.net.2") if config.family == "sdxl" else ()))
    for name, module in unet.named_modules():
        if name.endswith(branches) or name == "conv_out":
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return unet


def build_text_encoder(config: MicroConfig, place: int = 0) -> nn.Module:
    """A new text encoder over the whole vocabulary. Token vectors have deviation 0.1: large enough to stay apart.

    Args:
        place: 1 for the second one of SDXL, which has a projection of its pooled state.
    """
    encoder = TEXT_CLASSES[place](CLIPTextConfig(**config.text_encoders[place]))
    table = encoder.get_input_embeddings().weight
    with torch.no_grad():
        # Rounded to half precision at once: rows that training leaves alone are then stored exactly.
        table.copy_((torch.randn(table.shape) * 0.1).half().float())
    return encoder


def noise_schedule() -> DDIMScheduler:
    """The schedule of Stable Diffusion: scaled-linear betas, 1000 steps."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
