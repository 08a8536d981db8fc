"""U-Nets in the shapes of SD 1, SD 2 and SDXL, some ten thousand weights each, ready for a training step."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from tanren.data.batch import Batch, SampleKey, TextStates
from tanren.diffusion.schedules import NoiseSchedule
from tanren.families import sd, sdxl
from tanren.families.base import LoraTarget, Model, Placement, TextRules
from tanren.families.layers import unet_layers
from tanren.models.build import quiet_libraries
from tanren.models.lean import make_lean
from tanren.networks.lora import LoraNetwork, attach
from tanren.options.network import NetworkOptions
from torch import nn

CPU = Placement(torch.device("cpu"), torch.float32, torch.float32)
WIDTH, POOLED, TOKENS = 12, 20, 5
LATENT_HW = (8, 12)
SHARED = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "cross_attention_dim": WIDTH,
    "norm_num_groups": 4,
}
SD = {
    **SHARED,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "attention_head_dim": 2,
}
CONFIGS = {
    "sd1": SD,
    "sd2": {**SD, "attention_head_dim": (1, 2), "use_linear_projection": True},
    "sdxl": {
        **SHARED,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": (1, 2),
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": POOLED + 6 * 8,
    },
}
MODULES: dict[str, ModuleType] = {"sd1": sd, "sd2": sd, "sdxl": sdxl}


@dataclass
class Small:
    """A model with a LoRA on it, and what an independent computation needs.

    Args:
        model: whose U-Net carries the network.
        network: LoRA on every layer it may change, `up` not zero.
        plain: the U-Net in float64, as diffusers made it, without the network.
        paths: name of a layer in LoRA files -> its path in the U-Net.
        start: the network's tensors.
    """

    model: Model
    network: LoraNetwork
    plain: nn.Module
    paths: dict[str, str]
    start: dict[str, torch.Tensor]


def small(kind: str, prediction_type: str, *, zero_terminal_snr: bool = False) -> Small:
    """Build one; the same weights every time."""
    family: Any = MODULES[kind]
    with torch.random.fork_rng(), quiet_libraries():
        torch.manual_seed(3)
        unet = UNet2DConditionModel(**CONFIGS[kind]).requires_grad_(False).eval()
    plain = copy.deepcopy(unet).double()
    paths = {module: path for path, module in unet.named_modules()}
    targets: list[LoraTarget] = list(unet_layers(unet, family.unet_path, family.block_index))
    schedule = NoiseSchedule.stable_diffusion()
    if zero_terminal_snr:
        schedule = schedule.zero_terminal_snr()
    model = Model(family.FAMILY, unet, nn.Identity(), [], [], schedule, prediction_type, CPU, TextRules())
    options = NetworkOptions(network_dim=3, network_alpha=2, network_args=("conv_dim=2", "conv_alpha=1.5"))
    network = attach(targets, options, seed=1, blocks=family.FAMILY.blocks)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    make_lean(unet)
    return Small(model, network, plain, {target.key: paths[target.module] for target in targets}, network.tensors())


def small_batch(*, mask: bool = False, loss_weights: tuple[float, ...] = (1, 1, 1)) -> Batch:
    """Three samples with everything a family may look at; always the same."""
    generator = torch.Generator().manual_seed(17)
    height, width = LATENT_HW
    means = torch.randn(3, 4, 1, 1, generator=generator)
    hw = torch.full((3, 1), 8) * torch.tensor([LATENT_HW])
    return Batch(
        keys=[SampleKey(2, 0, image, 1) for image in range(3)],
        paths=[f"{image}.png" for image in range(3)],
        captions=["", "", ""],
        bucket_wh=(8 * width, 8 * height),
        latents=torch.randn(3, 4, height, width, generator=generator) + means,
        pixels=None,
        posterior_noise=None,
        text=TextStates(
            torch.randn(3, TOKENS, WIDTH, generator=generator), torch.randn(3, POOLED, generator=generator)
        ),
        mask=torch.rand(3, 1, height, width, generator=generator) if mask else None,
        loss_weights=torch.tensor(loss_weights, dtype=torch.float32),
        preserve_output=torch.zeros(3, dtype=torch.bool),
        original_hw=hw + torch.tensor([[0, 0], [40, 8], [3, 5]]),
        crop_top_left=torch.tensor([[0, 0], [0, 6], [2, 0]]),
        target_hw=hw,
    )
