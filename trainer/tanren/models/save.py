"""Whole models to disk as a single file in the ldm layout.

What is written loads in the WebUIs, sd-scripts and diffusers. Same weights, same bytes: tensors are sorted by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor, nn

from ..files import durable_write
from ..formats.checkpoint_kind import SD1, SD2
from ..formats.safetensors_header import header_bytes, lay_out
from . import text_keys, unet_keys, vae_keys
from .configs import CONFIG_ENTRY, STANDARD, Config, Configs, header_entry
from .tensor_files import DTYPES

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class ModelParts:
    """A whole model and what it was built from; as many text encoders as its configs have."""

    configs: Configs
    unet: nn.Module
    vae: nn.Module
    text_encoders: tuple[nn.Module, ...]


def write_single_file(
    path: Path, parts: ModelParts, *, dtype: torch.dtype, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write one safetensors file in the ldm layout; models of other sizes than the standard carry their configs.

    Args:
        dtype: of every tensor in the file.
        metadata: further header texts.
    """
    texts = dict(metadata or {})
    if parts.configs != STANDARD[parts.configs.family]:
        texts[CONFIG_ENTRY] = header_entry(parts.configs)
    return write_tensors(path, ldm_tensors(parts), dtype=dtype, metadata=texts)


def ldm_tensors(parts: ModelParts) -> dict[str, Tensor]:
    """All weights under their names in a single file."""
    return {
        **_prefixed(unet_keys.PREFIX, _ldm_unet(parts.unet, parts.configs.unet)),
        **_prefixed(vae_keys.PREFIX, _ldm_vae(parts.vae, parts.configs.vae)),
        **_ldm_text(parts.text_encoders, parts.configs),
    }


def _ldm_unet(unet: nn.Module, config: Config) -> dict[str, Tensor]:
    table = unet_keys.table_of(config)
    return {_translated(name, table): tensor for name, tensor in unet.state_dict().items()}


def _ldm_vae(vae: nn.Module, config: Config) -> dict[str, Tensor]:
    table = vae_keys.table_of(config)
    named = {_translated(name, table): tensor for name, tensor in vae.state_dict().items()}
    # ldm's attention is made of 1x1 convolutions.
    is_projection = {
        name: ".mid.attn_1." in name and name.endswith(".weight") and tensor.ndim == 2 for name, tensor in named.items()
    }
    return {name: tensor[:, :, None, None] if is_projection[name] else tensor for name, tensor in named.items()}


def _ldm_text(encoders: Sequence[nn.Module], configs: Configs) -> dict[str, Tensor]:
    named = [
        {text_keys.without_hf_level(name): tensor for name, tensor in encoder.state_dict().items()}
        for encoder in encoders
    ]
    if configs.family == SD1:
        return _prefixed(text_keys.SD1_PREFIX, named[0])
    if configs.family == SD2:
        return _ldm_text_of_sd2(named[0], configs.text_encoders[0])
    theirs = text_keys.to_openclip(named[1], configs.text_encoders[1]["num_hidden_layers"])
    theirs["logit_scale"] = torch.ones(())
    first, second = text_keys.SDXL_PREFIXES
    return {**_prefixed(first, named[0]), **_prefixed(second, theirs)}


def _ldm_text_of_sd2(ours: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    # OpenCLIP has one layer more than SD 2 uses; readers expect it, so the last one is written twice.
    layers, width = config["num_hidden_layers"], config["hidden_size"]
    last = f"encoder.layers.{layers - 1}."
    twice = {
        name.replace(last, f"encoder.layers.{layers}."): tensor
        for name, tensor in ours.items()
        if name.startswith(last)
    }
    theirs = text_keys.to_openclip({**ours, **twice}, layers + 1)
    theirs |= {"text_projection": torch.ones(width, width), "logit_scale": torch.ones(())}
    return _prefixed(text_keys.SD2_PREFIX, theirs)


def _translated(name: str, table: Mapping[str, str]) -> str:
    other = unet_keys.renamed(name, table)
    assert other is not None, f"{name} has no name in the ldm layout"
    return other


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], *, dtype: torch.dtype, metadata: Mapping[str, str]
) -> Path:
    """Write a safetensors file, one tensor after the other, so that only one is ever converted at a time."""
    layout = lay_out((name, DTYPE_NAMES[dtype], tuple(tensor.shape)) for name, tensor in tensors.items())
    header = header_bytes(dict(sorted(metadata.items())), layout)

    def write(file: BinaryIO) -> None:
        file.write(header)
        for name in layout:
            file.write(_bytes_of(tensors[name].detach().to("cpu", dtype)))

    return durable_write(
        path, write, expected_bytes=len(header) + sum(entry.end - entry.begin for entry in layout.values())
    )


def _bytes_of(tensor: Tensor) -> memoryview:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
