"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a U-Net with 4-channel latents, epsilon or v-prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor, nn

from ..data.batch import TextStates
from ..diffusion.schedules import NoiseSchedule
from ..errors import ModelFileError, UsageError
from ..events import Report
from ..formats.checkpoint_kind import base_model_problem, prediction_warnings
from ..models import text_encoding
from ..models.attention import choose_attention
from ..models.build import build_text_encoder, build_unet, build_vae
from ..models.clip_tokenizer import EOS_TOKEN_ID, clip_tokenizer
from ..models.configs import STANDARD
from ..models.load import BASE_OPTION, open_base, open_vae
from ..models.source import Component, Source
from ..options.dataset import DatasetOptions
from ..options.model import AttentionOptions, ModelOptions
from ..options.spec import Settings
from .base import BaseNames, Family, LatentGeometry, LoraTarget, Model, Placement, TextRules

LATENTS = LatentGeometry(channels=4, downscale=8, scale=0.18215)
PAD_TOKEN = {"sd1": EOS_TOKEN_ID, "sd2": 0}
UNET_CONTAINERS = ("Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D")
TEXT_CONTAINERS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")
DOWN_FIRST, MID, UP_FIRST = 1, 12, 13


def load(settings: Settings, placement: Placement, report: Report) -> Model:
    """Read the base model and its autoencoder, frozen.

    Raises:
        UsageError: a flag does not fit the file.
        ModelFileError: the file is missing, damaged, unsafe or of another family.
    """
    options = settings[ModelOptions]
    map_file = not options.disable_mmap_load_safetensors
    with report.phase("load", total=3) as phase:
        source = open_base(options.pretrained_model_name_or_path, map_file=map_file)
        _check_kind(source, options, report)
        unet_part, text_part = _needed(source.unet, source), _needed(source.text_encoder, source)
        vae_part = source.vae
        if options.vae:
            vae_part = open_vae(options.vae, _vae_config(source), map_file=map_file)
        vae_part = _needed(vae_part, source)

        text_encoder = build_text_encoder(text_part, placement.device, placement.dtype, report)
        phase.advance()
        vae = build_vae(vae_part, placement.device, placement.vae_dtype, report)
        phase.advance()
        unet = build_unet(unet_part, placement.device, placement.dtype, report)
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


def encode_pixels(model: Model, pixels: Tensor, noise: Tensor) -> Tensor:
    """One sample of the autoencoder's posterior, scaled; a NaN of the autoencoder stays one for the caller to see."""
    vae: Any = model.vae
    posterior = vae.encode(pixels.to(model.placement.vae_dtype)).latent_dist
    return LATENTS.scale * (posterior.mean.float() + posterior.std.float() * noise)


def decode_latents(model: Model, latents: Tensor) -> Tensor:
    """Pictures of scaled latents."""
    unscaled = (latents / LATENTS.scale).to(model.placement.vae_dtype)
    vae: Any = model.vae
    return vae.decode(unscaled, return_dict=False)[0].float().clamp(-1, 1)


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
        model.text_encoders[0], model.tokenizers[0], prompts, negatives, clip_skip=model.text.clip_skip
    )
    return TextStates(positive), TextStates(negative)


def predict(model: Model, noisy_latents: Tensor, timesteps: Tensor, text: TextStates) -> Tensor:
    """Epsilon or v, float32, in the shape of the latents."""
    dtype = model.placement.dtype
    prediction = model.denoiser(noisy_latents.to(dtype), timesteps, text.hidden.to(dtype), return_dict=False)[0]
    return prediction.float()


def lora_targets(model: Model) -> list[LoraTarget]:
    """Layers in kohya's order: text encoder, then U-Net; names as in `networks.lora` files of SD 1 and SD 2."""
    return [
        *_targets(model.text_encoders[0], "lora_te_", "text_encoder", TEXT_CONTAINERS),
        *_targets(model.denoiser, "lora_unet_", "unet", UNET_CONTAINERS),
    ]


def _targets(model: nn.Module, prefix: str, part: str, containers: Sequence[str]) -> Iterator[LoraTarget]:
    for path, container in model.named_modules():
        kind = type(container).__name__
        if kind not in containers:
            continue
        for inner, leaf in container.named_modules():
            if isinstance(leaf, nn.Linear | nn.Conv2d):
                name = _file_path(f"{path}.{inner}" if inner else path, part)
                block = block_index(name) if part == "unet" else None
                yield LoraTarget(prefix + name.replace(".", "_"), leaf, part, kind, block)


def _file_path(path: str, part: str) -> str:
    """transformers dropped the level `text_model` from CLIPTextModel in 5.6; LoRA names keep it."""
    if part == "text_encoder" and not path.startswith("text_model."):
        return f"text_model.{path}"
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


def _check_kind(source: Source, options: ModelOptions, report: Report) -> None:
    # As the user typed it, so that the report can tell this from what the checks before the run have said.
    name = options.pretrained_model_name_or_path or source.path.name
    problem = base_model_problem(source.kind, name, v2=options.v2, needs_vae=not options.vae)
    if problem is not None:
        raise problem
    for warning in prediction_warnings(
        source.kind,
        name,
        v_parameterization=options.v_parameterization,
        zero_terminal_snr=options.zero_terminal_snr,
    ):
        report.warning(warning)


def _needed(part: Component | None, source: Source) -> Component:
    if part is not None:
        return part
    missing, fix = "text encoder", "Take the full checkpoint."
    if source.unet is None:
        missing = "U-Net"
    elif source.text_encoder is not None:
        missing, fix = "VAE", "Take the full checkpoint, or name a VAE with --vae."
    raise ModelFileError(where=BASE_OPTION, what=f"{source.path.name} has no {missing}.", fix=fix)


def _vae_config(source: Source) -> dict[str, object]:
    return source.vae.config if source.vae is not None else STANDARD[source.kind.family].vae


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
    base_names=base_names,
    load=load,
    encode_pixels=encode_pixels,
    decode_latents=decode_latents,
    encode_text=encode_text,
    encode_prompts=encode_prompts,
    predict=predict,
    lora_targets=lora_targets,
)
