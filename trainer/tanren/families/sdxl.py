"""Stable Diffusion XL: two CLIP text encoders, a U-Net that is told sizes and crop, epsilon or v-prediction.

Encoder 1 is CLIP-L (`lora_te1`), encoder 2 OpenCLIP bigG (`lora_te2`). Files name the U-Net's layers as Stability's own
code does, which is not as diffusers does.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..data.batch import TextStates
from ..diffusion.schedules import NoiseSchedule
from ..events import Report
from ..formats.checkpoint_kind import SDXL_BASES
from ..models import text_pair
from ..models.attention import choose_attention
from ..models.build import build_projecting_encoder, build_text_encoder, build_unet, build_vae
from ..models.clip_tokenizer import EOS_TOKEN_ID, clip_tokenizer
from ..models.unet_keys import renamed, sgm_table
from ..options.blocks import SDXL_BLOCKS
from ..options.dataset import DatasetOptions
from ..options.model import AttentionOptions, ModelOptions
from ..options.spec import Settings
from .autoencoder import decode_latents, encode_pixels
from .base import BaseNames, Family, LatentGeometry, LoraTarget, Model, Placement, TextRules
from .layers import text_layers, unet_layers
from .opening import open_model, text_encoders_of, unet_of, vae_of

LATENTS = LatentGeometry(channels=4, downscale=8, scale=0.13025)
PAD_TOKENS = (EOS_TOKEN_ID, 0)
SGM_NAMES = sgm_table()
# Places in block-wise lists: 0 is the embeddings, 22 the output; no layer of a network is in either.
FIRST_BLOCK = {"input_blocks": 1, "middle_block": 10, "output_blocks": 13}


def load(settings: Settings, placement: Placement, report: Report) -> Model:
    """Read the base model and its autoencoder, frozen.

    Raises:
        ModelFileError: the file is missing, damaged, unsafe or of another family.
    """
    options = settings[ModelOptions]
    with report.phase("load", total=4) as phase:
        source = open_model(options, SDXL_BASES, report)
        unet_part, (first, second), vae_part = unet_of(source), text_encoders_of(source), vae_of(source, options)
        text_encoders = []
        for build, part in ((build_text_encoder, first), (build_projecting_encoder, second)):
            text_encoders.append(
                build(part, placement.device, placement.dtype, report, eight_bits=placement.text_in_eight_bits)
            )
            phase.advance()
        vae = build_vae(vae_part, placement.device, placement.vae_dtype, report)
        phase.advance()
        unet = build_unet(
            unet_part, placement.unet_device, placement.dtype, report, eight_bits=placement.unet_in_eight_bits
        )
        phase.advance()
    choose_attention(unet, settings[AttentionOptions], placement.device, report)
    schedule = NoiseSchedule.stable_diffusion().to(placement.device)
    return Model(
        family=FAMILY,
        denoiser=unet,
        vae=vae,
        text_encoders=text_encoders,
        tokenizers=[clip_tokenizer(pad) for pad in PAD_TOKENS],
        schedule=schedule.zero_terminal_snr() if options.zero_terminal_snr else schedule,
        prediction_type="v" if options.v_parameterization else "epsilon",
        placement=placement,
        text=TextRules(None, options.max_token_length, settings[DatasetOptions].weighted_captions),
    )


def encode_text(model: Model, captions: Sequence[str]) -> TextStates:
    """States of training captions: hidden (B, 75·n + 2, 2048), pooled (B, 1280)."""
    states = text_pair.encode_captions(
        model.text_encoders,
        model.tokenizers,
        captions,
        max_token_length=model.text.max_token_length,
        weighted=model.text.weighted_captions,
    )
    return TextStates(*states)


def encode_prompts(model: Model, prompts: Sequence[str], negatives: Sequence[str]) -> tuple[TextStates, TextStates]:
    """States of prompts and negative prompts; hidden is (B, 77·n, 2048) with the same n."""
    positive, negative = text_pair.encode_prompts(
        model.text_encoders,
        model.tokenizers,
        prompts,
        negatives,
        clip_skip=model.text.clip_skip,
        rules=model.text.prompts,
    )
    return TextStates(*positive), TextStates(*negative)


def predict(model: Model, noisy_latents: Tensor, timesteps: Tensor, text: TextStates, sizes: Tensor) -> Tensor:
    """Epsilon or v, float32, in the shape of the latents.

    Each of the six sizes becomes 256 numbers (128 cosines, 128 sines); they stand behind the pooled text.
    """
    assert text.pooled is not None, "SDXL needs the pooled text"
    dtype = model.placement.dtype
    added = {"text_embeds": text.pooled.to(dtype), "time_ids": sizes}
    prediction = model.denoiser(
        noisy_latents.to(dtype), timesteps, text.hidden.to(dtype), added_cond_kwargs=added, return_dict=False
    )[0]
    return prediction.float()


def lora_targets(model: Model) -> list[LoraTarget]:
    """Layers in kohya's order: text encoders, then U-Net."""
    first, second = model.text_encoders
    return [
        *text_layers(first, "lora_te1_", "text_encoder"),
        *text_layers(second, "lora_te2_", "text_encoder_2"),
        *unet_layers(model.denoiser, unet_path, block_index),
    ]


def unet_path(path: str) -> str:
    """The path that files have for a layer, or a module that holds layers, of diffusers' U-Net."""
    named = renamed(path, SGM_NAMES)
    assert named is not None, f"{path} has no name in files"
    return named


def block_index(path: str) -> int:
    """Place of a U-Net layer in block-wise lists of 23: down 1-9, middle 10-12, up 13-21.

    Args:
        path: module path as files have it, such as `input_blocks.4.1.proj_in`.
    """
    part, number = path.split(".")[:2]
    return FIRST_BLOCK[part] + int(number)


def base_names(settings: Settings) -> BaseNames:
    """What files say about their base."""
    return BaseNames(
        base_model_version="sdxl_base_v1-0",
        v2=False,
        architecture="stable-diffusion-xl-v1-base",
        implementation="https://github.com/Stability-AI/generative-models",
        prediction_type="v" if settings[ModelOptions].v_parameterization else "epsilon",
        default_resolution=1024,
    )


FAMILY = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    latents=LATENTS,
    bucket_step=32,
    blocks=SDXL_BLOCKS,
    unet_path=unet_path,
    base_names=base_names,
    load=load,
    encode_pixels=encode_pixels,
    decode_latents=decode_latents,
    encode_text=encode_text,
    encode_prompts=encode_prompts,
    predict=predict,
    lora_targets=lora_targets,
)
