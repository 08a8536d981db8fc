"""Single-file checkpoints in the ldm layout, taken apart into components under our names.

Layout: U-Net under `model.diffusion_model.`, autoencoder under `first_stage_model.`, text encoder under
`cond_stage_model.` (Hugging Face names in SD 1, OpenCLIP names in SD 2, there also under `conditioner.embedders.0.`),
in SDXL two under `conditioner.embedders.0.` and `.1.`; see `text_keys.py`.
Averages (`model_ema.`), noise tables, position ids and optimizer states may be there and are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import ModelFileError
from ..formats.checkpoint_kind import CheckpointKind, kind_of
from . import text_keys, unet_keys, vae_keys
from .configs import STANDARD, Config, Configs, configs_in_header
from .source import Component, Source
from .tensor_files import TensorFile, open_tensors

NOT_WEIGHTS_OF_THE_VAE = ("loss.", "model_ema.")


def open_single_file(path: Path, *, map_file: bool = True) -> Source:
    """Read names and shapes of a checkpoint and map its weights.

    Raises:
        ModelFileError: damaged or unsafe file, or a broken `tanren.config` entry.
    """
    file = open_tensors(path, map_file=map_file)
    kind = kind_of(file.shapes(), file.metadata)
    own = configs_in_header(file.metadata, str(path))
    if own is not None and own.family != kind.family:
        raise ModelFileError(
            where=str(path),
            what=f"{path.name} says in its header that it is {own.family}, but its weights are {kind.sentence}.",
            fix="Take the file from its source again.",
        )
    configs = own or STANDARD.get(kind.family)
    if configs is None:
        return Source(path, kind, None, None)
    return _taken_apart(path, file, kind, configs)


def _taken_apart(path: Path, file: TensorFile, kind: CheckpointKind, configs: Configs) -> Source:
    unet, unknown = _renamed(_under(file.tensors, unet_keys.PREFIX), _swapped(unet_keys.table_of(configs.unet)))
    unknown = tuple(unet_keys.PREFIX + name for name in unknown)
    texts = [
        (config, text_keys.in_single_file(file.tensors, layout, config["num_hidden_layers"]))
        for layout, config in zip(text_keys.LAYOUTS[kind.family], configs.text_encoders, strict=True)
    ]
    return Source(
        path,
        kind,
        Component("U-Net", configs.unet, unet, file, unknown) if unet else None,
        vae_component(file, configs.vae) if kind.has_vae else None,
        tuple(Component("text encoder", config, text, file) if text else None for config, text in texts),
    )


def vae_component(file: TensorFile, config: Config) -> Component:
    """The autoencoder of a whole checkpoint or of a file that holds nothing else, in ldm's or diffusers' names."""
    prefixes = [
        prefix for prefix in vae_keys.PREFIXES if any(name.startswith(f"{prefix}decoder.") for name in file.tensors)
    ]
    prefix = prefixes[0] if prefixes else ""
    weights = {
        name: tensor
        for name, tensor in _under(file.tensors, prefix).items()
        if not name.startswith(NOT_WEIGHTS_OF_THE_VAE)
    }
    if any(name.startswith("encoder.down_blocks.") for name in weights):
        renamed, _ = _renamed(weights, vae_keys.old_diffusers_table(), keep_others=True)
        return Component("VAE", config, renamed, file)
    renamed, unknown = _renamed(weights, _swapped(vae_keys.table_of(config)))
    return Component("VAE", config, renamed, file, tuple(prefix + name for name in unknown))


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors below a prefix, named without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _renamed(
    tensors: Mapping[str, Tensor], table: Mapping[str, str], *, keep_others: bool = False
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Tensors by their names on the table's other side, and the names it does not know."""
    known: dict[str, Tensor] = {}
    unknown = []
    for name, tensor in tensors.items():
        other = unet_keys.renamed(name, table) or (name if keep_others else None)
        if other is None:
            unknown.append(name)
        else:
            known[other] = tensor
    return known, tuple(unknown)


def _swapped(table: Mapping[str, str]) -> dict[str, str]:
    return {theirs: ours for ours, theirs in table.items()}
