"""From what the user typed to a base model taken apart: a file, a folder or a hub id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import ModelFileError, UsageError
from ..paths import home_expanded
from .configs import Config
from .folders import open_folder, vae_folder
from .hub import fetch, is_hub_id
from .single_file import open_single_file, vae_component
from .source import Component, Source
from .tensor_files import open_tensors

BASE_OPTION, VAE_OPTION = "--pretrained_model_name_or_path", "--vae"
VAE_INPUT = "decoder.conv_in.weight"


def open_base(reference: str | None, *, map_file: bool = True) -> Source:
    """Open the base model.

    Args:
        reference: path of a single file or a diffusers folder, or a hub id.
        map_file: False reads safetensors into memory instead of mapping them.

    Raises:
        UsageError: nothing was given.
        ModelFileError: there is no such model, or it is damaged, unsafe or not a model.
    """
    if not reference:
        raise UsageError(where=BASE_OPTION, what="No base model is given.", fix="Give a file, a folder or a hub id.")
    path = local_path(reference, BASE_OPTION)
    return open_folder(path, map_file=map_file) if path.is_dir() else open_single_file(path, map_file=map_file)


def open_vae(reference: str, base: Config, *, map_file: bool = True) -> Component:
    """Open the autoencoder of `--vae`: a file of any naming, a whole checkpoint, a folder or a hub id.

    Args:
        base: config of the base model's autoencoder, which a file without one shares.

    Raises:
        ModelFileError: no such file, or not an autoencoder of the base's kind.
    """
    path = local_path(reference, VAE_OPTION)
    if path.is_dir():
        part = vae_folder(path, map_file=map_file)
    else:
        part = vae_component(open_tensors(path, map_file=map_file), base)
    if "quant_conv.weight" not in part.tensors and VAE_INPUT not in part.tensors:
        raise ModelFileError(where=VAE_OPTION, what=f"{path.name} holds no VAE.", fix="Give a VAE file or folder.")
    channels = part.tensors[VAE_INPUT].shape[1] if VAE_INPUT in part.tensors else base["latent_channels"]
    if channels != base["latent_channels"]:
        raise ModelFileError(
            where=VAE_OPTION,
            what=f"{path.name} is a VAE with {channels} latent channels; this model needs {base['latent_channels']}.",
            why="VAEs with 16 channels belong to FLUX.1 and Stable Diffusion 3." if channels == 16 else "",
            fix="Give a VAE made for this kind of model, or leave --vae out.",
        )
    return replace(part, title="VAE")


def local_path(reference: str, where: str) -> Path:
    """The file or folder a reference stands for; hub ids are fetched."""
    path = home_expanded(reference)
    if path.exists():
        return path
    if is_hub_id(reference):
        return fetch(reference, where)
    raise ModelFileError(where=where, what=f"There is no file or folder {reference}.", fix="Check the path.")
