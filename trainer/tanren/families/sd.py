"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a U-Net with 4-channel latents, epsilon or v-prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..data.batch import TextStates
from ..diffusion.schedules import NoiseSchedule
from ..errors import UsageError
from ..events import Report
from ..formats.checkpoint_kind import SD_BASES
from ..models import text_encoding
from ..models.attention import choose_attention
from ..models.build import build_text_encoder, build_unet, build_vae
from ..models.clip_tokenizer import EOS_TOKEN_ID, clip_tokenizer
from ..options.blocks import SD_BLOCKS
from ..options.dataset import DatasetOptions
from ..options.model import AttentionOptions, ModelOptions
from ..options.spec import Settings
from .autoencoder import decode_latents, encode_pixels
from .base import BaseNames, Family, LatentGeometry, LoraTarget, Model, Placement, TextRules
from .layers import text_layers, unet_layers
from .opening import open_model, text_encoders_of, unet_of, vae_of

LATENTS = LatentGeometry(channels=4, downscale=8, scale=0.18215)
PAD_TOKEN = {"sd1": EOS_TOKEN_ID, "sd2": 0}
DOWN_FIRST, MID, UP_FIRST = 1, 12, 13


def load(settings: Settings, placement: Placement, report: Report) -> Model:
    """Read the base model and its autoencoder, frozen.

    Raises:
        UsageError: a flag does not fit the file.
        ModelFileError: the file is missing, damaged, unsafe or of another family.
    """
    options = settings[ModelOptions]
    with report.phase("load", total=3) as phase:
        source = open_model(options, SD_BASES, report)
        unet_part, (text_part,), vae_part = unet_of(source), text_encoders_of(source), vae_of(source, options)
        text_encoder = build_text_encoder(
            text_part, placement.device, placement.dtype, report, eight_bits=placement.text_in_eight_bits
        )
        phase.advance()
        vae = build_vae(vae_part, placement.device, placement.vae_dtype, report)
        phase.advance()
        unet = build_unet(
            unet_part, placement.unet_device, placement.dtype, report, eight_bits=placement.unet_in_eight_bits
        )
        phase.advance()
    _check_clip_skip(options, text_encoder)
    choose_attention(unet, settings[AttentionOptions], placement.device, report)
    schedule = NoiseSchedule.stable_diffusion().to(placement.device)
    return Model(
        family=FAMILY,
        denoiser=unet,
        vae=vae,
        text_encoders=[text_encoder],
        tokenizers=[clip_tokenizer(PAD_TOKEN[source.kind.family])],
        schedule=schedule.zero_terminal_snr() if options.zero_terminal_snr else schedule,
        prediction_type="v" if options.v_parameterization else "epsilon",
        placement=placement,
        text=TextRules(options.clip_skip, options.max_token_length, settings[DatasetOptions].weighted_captions),
    )


def encode_text(model: Model, captions: Sequence[str]) -> TextStates:
    """States of training captions, (B, 75·n + 2, width)."""
    hidden = text_encoding.encode_captions(
        model.text_encoders[0],
        model.tokenizers[0],
        captions,
        max_token_length=model.text.max_token_length,
        clip_skip=model.text.clip_skip,
        weighted=model.text.weighted_captions,
    )
    return TextStates(hidden)


def encode_prompts(model: Model, prompts: Sequence[str], negatives: Sequence[str]) -> tuple[TextStates, TextStates]:
    """States of prompts and negative prompts, each (B, 77·n, width) with the same n."""
    positive, negative = text_encoding.encode_prompts(
        model.text_encoders[0],
        model.tokenizers[0],
        prompts,
        negatives,
        clip_skip=model.text.clip_skip,
        rules=model.text.prompts,
    )
    return TextStates(positive), TextStates(negative)


def predict(
    model: Model, noisy_latents: Tensor, timesteps: Tensor, text: TextStates, sizes: Tensor | None = None
) -> Tensor:
    """Epsilon or v, float32, in the shape of the latents; these models do not look at the sizes."""
    dtype = model.placement.dtype
    prediction = model.denoiser(noisy_latents.to(dtype), timesteps, text.hidden.to(dtype), return_dict=False)[0]
    return prediction.float()


def lora_targets(model: Model) -> list[LoraTarget]:
    """Layers in kohya's order: text encoder, then U-Net; names as in `networks.lora` files of SD 1 and SD 2."""
    return [
        *text_layers(model.text_encoders[0], "lora_te_", "text_encoder"),
        *unet_layers(model.denoiser, unet_path, block_index),
    ]


def unet_path(path: str) -> str:
    """Files of SD 1 and SD 2 name layers as diffusers does."""
    return path


def block_index(path: str) -> int:
    """Place of a U-Net layer in block-wise lists of 25: down 1-11, middle 12, up 13-24; samplers count as third layer.

    Args:
        path: module path in diffusers' naming.
    """
    parts = path.split(".")
    if parts[0] == "mid_block":
        return MID
    layer = 2 if parts[2] in ("downsamplers", "upsamplers") else int(parts[3])
    return (DOWN_FIRST if parts[0] == "down_blocks" else UP_FIRST) + 3 * int(parts[1]) + layer


def base_names(settings: Settings) -> BaseNames:
    """What files say about their base."""
    options = settings[ModelOptions]
    v2, v = options.v2, options.v_parameterization
    version = ("sd_v2" if v2 else "sd_v1") + ("_v" if v else "")
    architecture = ("stable-diffusion-v2-768-v" if v else "stable-diffusion-v2-512") if v2 else "stable-diffusion-v1"
    return BaseNames(
        base_model_version=version,
        v2=v2,
        architecture=architecture,
        implementation="diffusers",
        prediction_type="v" if v else "epsilon",
        default_resolution=768 if v2 and v else 512,
    )


def _check_clip_skip(options: ModelOptions, text_encoder: Any) -> None:
    layers = text_encoder.config.num_hidden_layers
    if options.clip_skip is not None and options.clip_skip > layers:
        raise UsageError(
            where="--clip_skip",
            what=f"{options.clip_skip} is more than the {layers} layers of this text encoder.",
            fix="Use 1 or 2; 2 is usual for anime models.",
        )


FAMILY = Family(
    name="sd",
    title="Stable Diffusion 1 and 2",
    latents=LATENTS,
    bucket_step=64,
    blocks=SD_BLOCKS,
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
