"""Whole models to disk as a diffusers folder, for diffusers and for the WebUIs that read such folders."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..files import write_json, write_text
from ..formats.checkpoint_kind import SD2, SDXL
from . import text_keys
from .clip_tokenizer import BOS, EOS, MODEL_MAX_LENGTH, build_vocabulary, read_merges
from .configs import TEXT_PARTS, Config
from .save import ModelParts, write_tensors

COMMON_INDEX = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "feature_extractor": [None, None],
}
MODEL_INDEX = {
    **COMMON_INDEX,
    "_class_name": "StableDiffusionPipeline",
    "safety_checker": [None, None],
    "requires_safety_checker": False,
}
SDXL_INDEX = {
    **COMMON_INDEX,
    "_class_name": "StableDiffusionXLPipeline",
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "image_encoder": [None, None],
    "force_zeros_for_empty_prompt": True,
}
TEXT_CLASSES = ("CLIPTextModel", "CLIPTextModelWithProjection")


def write_folder(folder: Path, parts: ModelParts, *, dtype: torch.dtype, v_prediction: bool = False) -> Path:
    """Write a diffusers folder; text encoder names keep the level `text_model.`.

    transformers wrote that level until 5.6, and other programs need it.

    Args:
        folder: made when it is not there; files of the same names are replaced.
        dtype: of every tensor.
        v_prediction: what the scheduler's config says.
    """
    unet, vae = parts.unet.state_dict(), parts.vae.state_dict()
    components: dict[str, tuple[Config, str, Config, dict[str, Tensor]]] = {
        "unet": ({"_class_name": "UNet2DConditionModel"}, "diffusion_pytorch_model", parts.configs.unet, unet),
        "vae": ({"_class_name": "AutoencoderKL"}, "diffusion_pytorch_model", parts.configs.vae, vae),
    }
    texts = zip(TEXT_PARTS, TEXT_CLASSES, parts.text_encoders, parts.configs.text_encoders, strict=False)
    for name, kind, encoder, text_config in texts:
        label = {"architectures": [kind], "model_type": "clip_text_model"}
        components[name] = (label, "model", text_config, _text_weights(encoder))
    for name, (label, stem, config, tensors) in components.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_json(folder / name / "config.json", {**label, **config})
        write_tensors(folder / name / f"{stem}.safetensors", tensors, dtype=dtype, metadata={"format": "pt"})
    (folder / "scheduler").mkdir(exist_ok=True)
    write_json(folder / "scheduler" / "scheduler_config.json", _scheduler(v_prediction))
    is_sdxl = parts.configs.family == SDXL
    write_tokenizer(folder / "tokenizer", pads_with_zero=parts.configs.family == SD2)
    if is_sdxl:
        write_tokenizer(folder / "tokenizer_2", pads_with_zero=True)
    write_json(folder / "model_index.json", SDXL_INDEX if is_sdxl else MODEL_INDEX)
    return folder


def _text_weights(encoder: nn.Module) -> dict[str, Tensor]:
    ours = {text_keys.without_hf_level(name): tensor for name, tensor in encoder.state_dict().items()}
    return {
        name if name == text_keys.PROJECTION else text_keys.HF_LEVEL + name: tensor for name, tensor in ours.items()
    }


def _scheduler(v_prediction: bool) -> Config:
    return {
        "_class_name": "DDIMScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "steps_offset": 1,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "prediction_type": "v_prediction" if v_prediction else "epsilon",
    }


def write_tokenizer(folder: Path, *, pads_with_zero: bool) -> None:
    """CLIP's tokenizer in the files that every version of transformers reads."""
    folder.mkdir(exist_ok=True)
    merges = read_merges()
    vocabulary = {token: number for number, token in enumerate(build_vocabulary(merges))}
    special = {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": "!" if pads_with_zero else EOS}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": MODEL_MAX_LENGTH, "do_lower_case": True}
    write_json(folder / "vocab.json", vocabulary)
    write_text(folder / "merges.txt", "\n".join(["#version: 0.2", *(" ".join(merge) for merge in merges)]) + "\n")
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "tokenizer_config.json", {**settings, **special})
