"""Models by hub id: the one place where loading uses the network. Only safetensors and configs are fetched."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ModelFileError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
MODEL_ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
CONFIGS = ("model_index.json", "config.json", "*/config.json", "scheduler/scheduler_config.json")
FULL = (
    "diffusion_pytorch_model.safetensors",
    "*/diffusion_pytorch_model.safetensors",
    "*/diffusion_pytorch_model-*-of-*.safetensors",
    "*/diffusion_pytorch_model.safetensors.index.json",
    "text_encoder/model.safetensors",
    "text_encoder_2/model.safetensors",
)
HALF = tuple(name.replace("model.safetensors", "model.fp16.safetensors") for name in FULL)


def is_hub_id(reference: str) -> bool:
    """True for `owner/name` that is not the name of a model file."""
    return HUB_ID.fullmatch(reference) is not None and not reference.lower().endswith(MODEL_ENDINGS)


def fetch(reference: str, where: str) -> Path:
    """The folder of a hub model: from the local hub cache, or fetched into it.

    Raises:
        ModelFileError: unknown id, no safetensors there, or no network and nothing in the cache.
    """
    # Imported here: most runs never ask the hub.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    for weights in (FULL, HALF):
        try:
            folder = Path(snapshot_download(reference, allow_patterns=[*CONFIGS, *weights]))
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise ModelFileError(
                where=where,
                what=f"There is no file or folder {reference}, and the hub model of that name cannot be had.",
                why=f"{type(error).__name__}: {str(error)[:200]}",
                fix="Check the spelling, or give the path of a model on this machine: no network is needed then.",
            ) from error
        if any((folder / "unet" if (folder / "unet").is_dir() else folder).glob("*.safetensors")):
            return folder
    raise ModelFileError(
        where=where, what=f"{reference} has no safetensors weights.", fix="Take another model, or a local file of it."
    )
