"""The layers of U-Nets and CLIP text encoders that a network may change, under the names of kohya's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import nn

from ..models.text_keys import HF_LEVEL
from .base import LoraTarget

UNET_CONTAINERS = ("Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D")
TEXT_CONTAINERS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")
UNET_PREFIX = "lora_unet_"


def unet_layers(
    unet: nn.Module, unet_path: Callable[[str], str], block_of: Callable[[str], int]
) -> Iterator[LoraTarget]:
    """Layers of a U-Net in diffusers' layout.

    Args:
        unet_path: diffusers path -> the path that names the layer in files. Where the two differ, files with diffusers'
            own names are known too.
        block_of: path in files -> index in block-wise lists.
    """
    for path, leaf, container in _leaves(unet, UNET_CONTAINERS):
        named = unet_path(path)
        alias = None if named == path else _key(UNET_PREFIX, path)
        yield LoraTarget(_key(UNET_PREFIX, named), leaf, "unet", container, block_of(named), alias, f"unet.{path}")


def text_layers(encoder: nn.Module, prefix: str, part: str) -> Iterator[LoraTarget]:
    """Layers of a CLIP text encoder.

    Args:
        prefix: of its keys, such as `lora_te_`.
        part: "text_encoder" or "text_encoder_2".
    """
    for path, leaf, container in _leaves(encoder, TEXT_CONTAINERS):
        # transformers dropped this level from CLIPTextModel in 5.6; LoRA names keep it.
        named = path if path.startswith(HF_LEVEL) else HF_LEVEL + path
        yield LoraTarget(_key(prefix, named), leaf, part, container, None, path=f"{part}.{named}")


def _leaves(model: nn.Module, containers: Sequence[str]) -> Iterator[tuple[str, nn.Module, str]]:
    for path, container in model.named_modules():
        kind = type(container).__name__
        if kind not in containers:
            continue
        for inner, leaf in container.named_modules():
            if isinstance(leaf, nn.Linear | nn.Conv2d):
                yield f"{path}.{inner}" if inner else path, leaf, kind


def _key(prefix: str, path: str) -> str:
    return prefix + path.replace(".", "_")
