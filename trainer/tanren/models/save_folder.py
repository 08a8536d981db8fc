"""Whole models to disk as a diffusers folder, for diffusers and for the WebUIs that read such folders."""

from __future__ import annotations

from pathlib import Path

import torch

from ..files import write_json, write_text
from ..formats.checkpoint_kind import SD2
from . import text_keys
from .clip_tokenizer import BOS, EOS, MODEL_MAX_LENGTH, build_vocabulary, read_merges
from .configs import Config
from .save import ModelParts, write_tensors

MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
}


def write_folder(folder: Path, parts: ModelParts, *, dtype: torch.dtype, v_prediction: bool = False) -> Path:
    """Write a diffusers folder; text encoder names keep the level `text_model.`.

    transformers wrote that level until 5.6, and other programs need it.

    Args:
        folder: made when it is not there; files of the same names are replaced.
        dtype: of every tensor.
        v_prediction: what the scheduler's config says.
    """
    unet, vae = parts.unet.state_dict(), parts.vae.state_dict()
    ours = {text_keys.without_hf_level(name): tensor for name, tensor in parts.text_encoder.state_dict().items()}
    text = {text_keys.HF_LEVEL + name: tensor for name, tensor in ours.items()}
    text_config = {"model_type": "clip_text_model", **parts.configs.text_encoders[0]}
    components = {
        "unet": ("UNet2DConditionModel", "diffusion_pytorch_model", parts.configs.unet, unet),
        "vae": ("AutoencoderKL", "diffusion_pytorch_model", parts.configs.vae, vae),
        "text_encoder": ("CLIPTextModel", "model", text_config, text),
    }
    for name, (kind, stem, config, tensors) in components.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        label = {"architectures": [kind]} if name == "text_encoder" else {"_class_name": kind}
        write_json(folder / name / "config.json", {**label, **config})
        write_tensors(folder / name / f"{stem}.safetensors", tensors, dtype=dtype, metadata={"format": "pt"})
    (folder / "scheduler").mkdir(exist_ok=True)
    write_json(folder / "scheduler" / "scheduler_config.json", _scheduler(v_prediction))
    write_tokenizer(folder / "tokenizer", pads_with_zero=parts.configs.family == SD2)
    write_json(folder / "model_index.json", MODEL_INDEX)
    return folder


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
