"""What a model family must say. Everything else asks these fields; nobody compares family names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import LatentGeometry, TextStates
from ..diffusion.schedules import NoiseSchedule
from ..events import Report
from ..models.text_encoding import SAMPLE_RULES, PromptRules
from ..options.blocks import BlockLayout
from ..options.spec import Settings


@dataclass(frozen=True)
class Placement:
    """Where the frozen model lives and in which dtype it computes.

    Args:
        unet_in_eight_bits, text_in_eight_bits: weights that are kept as float8 and cast when they are used.
        unet_waits: the U-Net is loaded into main memory, from where it is shared out among processes.
    """

    device: torch.device
    dtype: torch.dtype
    vae_dtype: torch.dtype
    unet_in_eight_bits: bool = False
    text_in_eight_bits: bool = False
    unet_waits: bool = False

    @property
    def unet_device(self) -> torch.device:
        """Where the U-Net is loaded to."""
        return torch.device("cpu") if self.unet_waits else self.device


@dataclass(frozen=True)
class LoraTarget:
    """A layer that a network may change.

    Args:
        key: name in LoRA files, such as `lora_unet_mid_block_attentions_0_proj_in`.
        module: the live Linear or Conv2d.
        part: "unet", "text_encoder" or "text_encoder_2": selects learning rate and on/off switches.
        container: class name of the module that holds it, such as `Transformer2DModel`.
        block: index in block-wise rank and learning rate lists, None for text encoders.
        alias: another key that files of other programs may have for it.
        path: in diffusers' pipelines, such as `unet.mid_block.attentions.0.proj_in`.
    """

    key: str
    module: nn.Module
    part: str
    container: str
    block: int | None
    alias: str | None = None
    path: str = ""


@dataclass
class Model:
    """A loaded base model.

    Args:
        family: the family that loaded it.
        denoiser: predicts; called through `family.predict`.
        vae: pixels to latents and back.
        text_encoders, tokenizers: one or two of each, in the family's order.
        schedule: noise schedule the denoiser was made for.
        prediction_type: "epsilon", "v" or "flow".
        placement: device and dtypes.
        text: settings of `encode_text`: clip_skip, max_token_length, weighted_captions.
    """

    family: Family
    denoiser: nn.Module
    vae: nn.Module
    text_encoders: list[nn.Module]
    tokenizers: list[Any]
    schedule: NoiseSchedule
    prediction_type: str
    placement: Placement
    text: TextRules


@dataclass(frozen=True)
class TextRules:
    """How captions, and the prompts of pictures, become text states."""

    clip_skip: int | None = None
    max_token_length: int | None = None
    weighted_captions: bool = False
    prompts: PromptRules = SAMPLE_RULES


@dataclass(frozen=True, kw_only=True)
class Family:
    """Data sheet of a model family and the few functions in which families differ.

    Args:
        name: key in file fingerprints and logs.
        title: as people say it.
        options: option groups only this family has.
        latents: geometry of its latents.
        bucket_step: bucket sizes are multiples of this many pixels.
        blocks: of its U-Net, as block-wise ranks and learning rates count them.
        unet_path: module path in diffusers' U-Net -> the path that LoRA files are named after.
        base_names: `ss_base_model_version` and modelspec names, from the settings.
        load: read the model.
        encode_pixels: (B, 3, H, W) in -1..1 and noise (B, C, h, w) -> scaled latents (B, C, h, w) float32.
        decode_latents: scaled latents -> pixels (B, 3, H, W) float32 in -1..1.
        encode_text: captions -> text states; runs with gradient when the caller has not switched it off.
        encode_prompts: prompts and negative prompts of previews -> a pair of text states (emphasis, long prompts).
        predict: noisy latents, integer timesteps (B,), text states, sizes (B, 6) as `Batch.sizes` has them ->
            prediction, shape of the latents.
        lora_targets: every layer a network may change, convolutions included.
    """

    name: str
    title: str
    options: tuple[type, ...] = ()
    latents: LatentGeometry
    bucket_step: int
    blocks: BlockLayout
    unet_path: Callable[[str], str]
    base_names: Callable[[Settings], BaseNames]
    load: Callable[[Settings, Placement, Report], Model]
    encode_pixels: Callable[[Model, Tensor, Tensor], Tensor]
    decode_latents: Callable[[Model, Tensor], Tensor]
    encode_text: Callable[[Model, Sequence[str]], TextStates]
    encode_prompts: Callable[[Model, Sequence[str], Sequence[str]], tuple[TextStates, TextStates]]
    predict: Callable[[Model, Tensor, Tensor, TextStates, Tensor], Tensor]
    lora_targets: Callable[[Model], list[LoraTarget]]


@dataclass(frozen=True)
class BaseNames:
    """How files name this base: `ss_base_model_version`, `ss_v2`, modelspec architecture and implementation."""

    base_model_version: str
    v2: bool
    architecture: str
    implementation: str
    prediction_type: str | None
    default_resolution: int
