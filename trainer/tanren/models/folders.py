"""diffusers folders: one folder per component, each with `config.json` and its weights.

Weights are looked for as safetensors first, whole before split into shards, full before the fp16 variant; then the same
in torch's format, read as `pickles.py` says. Nothing is fetched: what is not in the folder is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ..errors import ModelFileError
from ..formats.base_model import folder_kind, read_settings
from ..formats.checkpoint_kind import TRAINABLE
from . import text_keys, unet_keys, vae_keys
from .configs import TEXT_PARTS, check_config
from .source import Component, Source
from .tensor_files import TensorFile, open_tensors

TITLES = {"unet": "U-Net", "vae": "VAE", "text_encoder": "text encoder", "text_encoder_2": "text encoder 2"}
DIFFUSERS_STEMS, TRANSFORMERS_STEMS = ("diffusion_pytorch_model",), ("model", "pytorch_model")


def open_folder(folder: Path, *, map_file: bool = True) -> Source:
    """Read a diffusers folder.

    Raises:
        ModelFileError: no diffusers folder, or a file in it is missing or damaged.
    """
    kind = folder_kind(folder)
    if kind.family not in TRAINABLE:
        return Source(folder, kind, None, None)
    unet = read_component(folder / "unet", "unet", map_file=map_file)
    vae = vae_folder(folder / "vae", map_file=map_file) if (folder / "vae").is_dir() else None
    layouts = zip(TEXT_PARTS, text_keys.LAYOUTS[kind.family], strict=False)
    texts = [
        _text_component(folder, part, projects=layout.projects, map_file=map_file) if (folder / part).is_dir() else None
        for part, layout in layouts
    ]
    return Source(folder, kind, unet, vae, tuple(texts))


def vae_folder(folder: Path, *, map_file: bool = True) -> Component:
    """The autoencoder in a folder of its own, or in the `vae` folder of a whole model."""
    if (folder / "vae" / "config.json").is_file():
        folder = folder / "vae"
    found = read_component(folder, "vae", map_file=map_file)
    table = vae_keys.old_diffusers_table()
    tensors = {unet_keys.renamed(name, table) or name: tensor for name, tensor in found.tensors.items()}
    return Component(found.title, found.config, tensors, found.file)


def _text_component(folder: Path, part: str, *, projects: bool, map_file: bool) -> Component:
    found = read_component(folder / part, part, map_file=map_file)
    tensors = text_keys.without_extras(found.tensors, projects=projects)
    return Component(found.title, found.config, tensors, found.file)


def read_component(folder: Path, part: str, *, map_file: bool = True) -> Component:
    """One component with the names as they are in its files; `part` is a key of `TITLES`."""
    title, stems = TITLES[part], TRANSFORMERS_STEMS if part in TEXT_PARTS else DIFFUSERS_STEMS
    config = read_settings(folder / "config.json")
    check_config(part, config, str(folder / "config.json"))
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
    named = read_settings(index).get("weight_map")
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
    return TensorFile(folder, tensors, {}, give_back, tuple(stamp for file in files for stamp in file.stamps))
