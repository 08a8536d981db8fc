"""Shapes of the model families: what diffusers and transformers are told before any weight is read.

Only values that differ from the libraries' defaults, or that a reader would look for. Source: the config files
published with Stable Diffusion 1.5, 2.1 and SDXL 1.0.

A single file may carry its own configs in the header entry `tanren.config`: a JSON object with `family` and one object
per component. They come from outside, so names, types and sizes are checked before a model is built from them.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ModelFileError

Config = dict[str, Any]
CONFIG_ENTRY = "tanren.config"
LARGEST_NUMBER = 1_000_000
LARGEST_DEPTH = 200
LONGEST_LIST = 16
NEEDED_KEYS = {
    "unet": ("block_out_channels", "down_block_types", "up_block_types", "cross_attention_dim"),
    "vae": ("block_out_channels", "latent_channels"),
    "text_encoder": ("num_hidden_layers", "hidden_size"),
    "text_encoder_2": ("num_hidden_layers", "hidden_size"),
}
TEXT_PARTS = ("text_encoder", "text_encoder_2")
CONTROL_KEYS = ("_class_name", "_diffusers_version", "_name_or_path", "architectures", "model_type", "torch_dtype")


@dataclass(frozen=True)
class Configs:
    """One config per component of a model.

    Args:
        family: "sd1", "sd2" or "sdxl".
        unet: arguments of `UNet2DConditionModel`.
        vae: arguments of `AutoencoderKL`.
        text_encoders: arguments of `CLIPTextConfig`, one per encoder.
    """

    family: str
    unet: Config
    vae: Config
    text_encoders: tuple[Config, ...]


SD_UNET: Config = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
}
SD1_UNET: Config = {**SD_UNET, "cross_attention_dim": 768, "attention_head_dim": 8}
SD2_UNET: Config = {
    **SD_UNET,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
SDXL_UNET: Config = {
    **SD_UNET,
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "transformer_layers_per_block": (1, 2, 10),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    # The pooled text, 1280, and six sizes of 256 numbers each.
    "projection_class_embeddings_input_dim": 2816,
}
SD_VAE: Config = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
SDXL_VAE: Config = {**SD_VAE, "sample_size": 1024, "scaling_factor": 0.13025, "force_upcast": True}
CLIP_COMMON: Config = {
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "layer_norm_eps": 1e-5,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
}
CLIP_L: Config = {
    **CLIP_COMMON,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
# 23 of the 24 layers: SD 2 uses the states before the last one.
OPENCLIP_H: Config = {
    **CLIP_COMMON,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
OPENCLIP_BIGG: Config = {
    **CLIP_COMMON,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
STANDARD = {
    "sd1": Configs("sd1", SD1_UNET, SD_VAE, (CLIP_L,)),
    "sd2": Configs("sd2", SD2_UNET, SD_VAE, (OPENCLIP_H,)),
    "sdxl": Configs("sdxl", SDXL_UNET, SDXL_VAE, (CLIP_L, OPENCLIP_BIGG)),
}


def configs_in_header(metadata: Mapping[str, str], where: str) -> Configs | None:
    """The configs a single file brings along, or None.

    Raises:
        ModelFileError: the entry is there but is not JSON of the expected form.
    """
    text = metadata.get(CONFIG_ENTRY)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _broken_entry(where, f"it is not JSON ({error})") from error
    family = found.get("family") if isinstance(found, dict) else None
    standard = STANDARD.get(family) if isinstance(family, str) else None
    texts = TEXT_PARTS[: len(standard.text_encoders)] if standard else TEXT_PARTS[:1]
    parts = ("unet", "vae", *texts)
    if not isinstance(found, dict) or not all(isinstance(found.get(part), dict) for part in parts):
        raise _broken_entry(where, f"it must be an object with {', '.join(parts)}")
    if standard is None:
        raise _broken_entry(where, f"family {family!r} is none of {', '.join(STANDARD)}")
    for part in parts:
        check_config(part, found[part], where)
    return Configs(standard.family, found["unet"], found["vae"], tuple(found[part] for part in texts))


def check_config(part: str, config: Config, where: str) -> None:
    """Refuse a component's config that lacks what its weight names depend on, or has it in another type.

    Args:
        part: key of `NEEDED_KEYS`.
        config: from a header or a config.json.
        where: the file, for the message.
    """
    for key in NEEDED_KEYS[part]:
        wanted = list | tuple if key.startswith(("block_", "down_", "up_")) else int
        if not isinstance(config.get(key), wanted):
            raise _broken_entry(where, f"{part}.{key} is {str(config.get(key))[:60]}")


def header_entry(configs: Configs) -> str:
    """The text of `tanren.config` for these configs; same configs, same text."""
    texts = dict(zip(TEXT_PARTS, configs.text_encoders, strict=False))
    parts = {"family": configs.family, "unet": configs.unet, "vae": configs.vae, **texts}
    return json.dumps(parts, sort_keys=True)


def arguments_for(constructor: Callable[..., Any], config: Mapping[str, Any], where: str) -> Config:
    """The entries of a config file that the constructor takes, checked for sane sizes.

    Keys of other versions of the libraries are left out: what they would change shows in the shapes.

    Raises:
        ModelFileError: a value is a number or list no model of these families can have.
    """
    known = inspect.signature(constructor).parameters
    kept = {key: value for key, value in config.items() if key in known and key not in CONTROL_KEYS}
    for key, value in kept.items():
        _check_value(key, value, where)
    return kept


def _check_value(key: str, value: Any, where: str) -> None:
    if isinstance(value, list | tuple):
        if len(value) > LONGEST_LIST:
            raise _broken_entry(where, f"{key} has {len(value)} entries")
        for entry in value:
            _check_value(key, entry, where)
        return
    largest = LARGEST_DEPTH if "layers" in key else LARGEST_NUMBER
    if isinstance(value, dict) or (isinstance(value, int | float) and not abs(value) <= largest):
        raise _broken_entry(where, f"{key} is {str(value)[:60]}")


def _broken_entry(where: str, reason: str) -> ModelFileError:
    return ModelFileError(
        where=where,
        what="The model's own configuration cannot be used.",
        why=f"{reason}.",
        fix="Take the file from its source again.",
    )
