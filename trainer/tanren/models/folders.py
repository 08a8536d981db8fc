"""diffusers folders: one folder per component, each with `config.json` and its weights.

Weights are looked for as safetensors first, whole before split into shards, full before the fp16 variant; then the same
in torch's format, read as `pickles.py` says. Nothing is fetched: what is not in the folder is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ModelFileError
from ..formats.base_model import folder_kind
from . import text_keys, unet_keys, vae_keys
from .configs import Config
from .source import Component, Source
from .tensor_files import TensorFile, open_tensors

DIFFUSERS_STEM, TRANSFORMERS_STEM = "diffusion_pytorch_model", ("model", "pytorch_model")


def open_folder(folder: Path, *, map_file: bool = True) -> Source:
    """Read a diffusers folder.

    Raises:
        ModelFileError: no diffusers folder, or a file in it is missing or damaged.
    """
    kind = folder_kind(folder)
    unet = read_component(folder / "unet", "U-Net", (DIFFUSERS_STEM,), map_file=map_file)
    vae = vae_folder(folder / "vae", map_file=map_file) if (folder / "vae").is_dir() else None
    text = None
    if (folder / "text_encoder").is_dir():
        text = _text_component(folder / "text_encoder", map_file=map_file)
    return Source(folder, kind, unet, vae, text)


def vae_folder(folder: Path, *, map_file: bool = True) -> Component:
    """The autoencoder in a folder of its own, or in the `vae` folder of a whole model."""
    if (folder / "vae" / "config.json").is_file():
        folder = folder / "vae"
    found = read_component(folder, "VAE", (DIFFUSERS_STEM,), map_file=map_file)
    table = vae_keys.old_diffusers_table()
    tensors = {unet_keys.renamed(name, table) or name: tensor for name, tensor in found.tensors.items()}
    return Component(found.title, found.config, tensors, found.file)


def _text_component(folder: Path, *, map_file: bool) -> Component:
    found = read_component(folder, "text encoder", TRANSFORMERS_STEM, map_file=map_file)
    tensors = {
        text_keys.without_hf_level(name): tensor
        for name, tensor in found.tensors.items()
        if not text_keys.IGNORED.search(name)
    }
    return Component(found.title, found.config, tensors, found.file)


def read_component(folder: Path, title: str, stems: tuple[str, ...], *, map_file: bool = True) -> Component:
    """One component with the names as they are in its files."""
    config = read_json(folder / "config.json")
    for paths in _weight_files(folder, stems):
        files = [open_tensors(path, map_file=map_file) for path in paths]
        file = files[0] if len(files) == 1 else _joined(folder, files)
        return Component(title, config, file.tensors, file)
    raise ModelFileError(
        where=str(folder),
        what=f"The folder {folder.name} has no weights for the {title}.",
        why=f"Looked for {stems[0]}.safetensors, its fp16 variant, its shards, and .bin.",
        fix="Download the folder again, all files of it.",
    )


def _weight_files(folder: Path, stems: tuple[str, ...]) -> Iterator[list[Path]]:
    for ending in (".safetensors", ".bin"):
        for variant in ("", ".fp16"):
            for stem in stems:
                whole = folder / f"{stem}{variant}{ending}"
                if whole.is_file():
                    yield [whole]
                for index in (f"{stem}{ending}.index{variant}.json", f"{stem}{variant}{ending}.index.json"):
                    if (folder / index).is_file():
                        yield _shards(folder / index)


def _shards(index: Path) -> list[Path]:
    named = read_json(index).get("weight_map")
    names = sorted(set(named.values())) if isinstance(named, dict) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise ModelFileError(
            where=str(index), what=f"{index.name} does not list the files of the weights.", fix="Download it again."
        )
    return [index.parent / name for name in names]


def _joined(folder: Path, files: list[TensorFile]) -> TensorFile:
    def give_back(tensor: Tensor) -> None:
        for file in files:
            file.give_back(tensor)

    tensors = {name: tensor for file in files for name, tensor in file.tensors.items()}
    return TensorFile(folder, tensors, {}, give_back)


def read_json(path: Path) -> Config:
    """An object from a config file."""
    try:
        content: Any = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelFileError(
            where=str(path), what=f"There is no {path.name} in {path.parent.name}.", fix="Download the folder again."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(
            where=str(path), what=f"{path.name} cannot be read.", why=str(error), fix="Download it again."
        ) from error
    if not isinstance(content, dict):
        raise ModelFileError(where=str(path), what=f"{path.name} holds no settings.", fix="Download it again.")
    return content
