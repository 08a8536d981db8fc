"""From `--network_module` and its files to a network on the live model."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from ..families.base import Model
from ..options.lllite import LlliteOptions
from ..options.network import NetworkOptions
from . import lllite
from .base import ReadWeights, TrainedNetwork
from .external import attach_external, merge_external
from .lora import attach, attach_like, load_start
from .lora_weights import merge
from .module_names import is_own


def attach_network(model: Model, options: NetworkOptions, seed: int, read: ReadWeights) -> TrainedNetwork:
    """Put the network that is to be trained on the model, with its start weights.

    Args:
        model: the loaded base model, with `--base_weights` merged.
        options: what to train.
        seed: of the run.
        read: reads the tensors of a LoRA file.

    Raises:
        UserError: see `attach`, `attach_like`, `load_start`, `attach_external`, `lllite.attach`.
    """
    if isinstance(options, LlliteOptions):
        return _attach_control(model, options, seed, read)
    if not is_own(options.network_module):
        return attach_external(model, options, seed)
    targets, blocks = model.family.lora_targets(model), model.family.blocks
    start = options.network_weights
    if start and options.dim_from_weights:
        return attach_like(targets, read(Path(start)), options, seed, blocks)
    network = attach(targets, options, seed, blocks)
    if start:
        load_start(network, read(Path(start)), targets, start)
    return network


def _attach_control(model: Model, options: LlliteOptions, seed: int, read: ReadWeights) -> TrainedNetwork:
    network = lllite.attach(model.family.lora_targets(model), options, seed)
    if options.network_weights:
        network.load(read(Path(options.network_weights)), options.network_weights)
    return network


def merge_base_weights(model: Model, options: NetworkOptions, read: ReadWeights) -> list[str]:
    """Merge every file of `--base_weights` into the model, in the order given.

    Returns:
        One line per file for the log.
    """
    notes = []
    strengths = options.base_weights_multiplier[: len(options.base_weights)]
    for path, multiplier in zip_longest(options.base_weights, strengths, fillvalue=1.0):
        if is_own(options.network_module):
            merge(model.family.lora_targets(model), read(Path(str(path))), float(multiplier), str(path))
        else:
            merge_external(model, options, str(path), float(multiplier))
        notes.append(f"{path} is merged into the base model at strength {multiplier:g}.")
    return notes
