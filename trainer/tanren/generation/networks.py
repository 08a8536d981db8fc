"""LoRAs and other networks on the model that draws: merged, put into its weights, or beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint.weights import load_weights
from ..families.base import Model
from ..networks.base import TrainedNetwork
from ..networks.external import attach_external, merge_external
from ..networks.lora import attach_like
from ..networks.lora_weights import check_sizes, layers_for, merge, weight_change
from ..networks.module_names import OWN, is_own
from ..options.generating_inputs import DrawingNetworkOptions
from ..options.network import NetworkOptions
from .request import merged_count


class Networks:
    """The networks of a run; made by `put_on`."""

    def __init__(self, attached: Sequence[TrainedNetwork] = (), precomputed: Precomputed | None = None) -> None:
        self.attached, self.precomputed = list(attached), precomputed

    @property
    def needs_autocast(self) -> bool:
        """True when one of them does not cast its own weights."""
        return any(network.needs_autocast for network in self.attached)

    def set_multipliers(self, multipliers: Sequence[float]) -> None:
        """Strength of each network that is not merged, in their order; 0 is as if it were not there."""
        if self.precomputed is not None:
            self.precomputed.set_multipliers(tuple(multipliers))
        for network, multiplier in zip(self.attached, multipliers, strict=False):
            network.set_multiplier(multiplier)


def put_on(model: Model, options: DrawingNetworkOptions) -> tuple[Networks, list[str]]:
    """Put all networks on a live model.

    Returns:
        The networks, and a line about each for the log.

    Raises:
        UserError: a file is no network for this model, or its module refuses it.
    """
    files = [single(options, index) for index in range(len(options.network_weights))]
    merged = merged_count(options)
    notes = []
    for index, file in enumerate(files[:merged]):
        strength = options.network_mul[index] if index < len(options.network_mul) else 1.0
        _merge(model, file, strength)
        notes.append(f"{file.network_weights} is merged into the model at strength {strength:g}.")
    rest = files[merged:]
    notes += [f"{file.network_weights} is put on the model." for file in rest]
    if options.network_pre_calc and rest:
        return Networks(precomputed=Precomputed(model, [str(file.network_weights) for file in rest])), notes
    return Networks([_attach(model, file) for file in rest]), notes


def single(options: DrawingNetworkOptions, index: int) -> NetworkOptions:
    """The options of one network, as those who train it would write them."""
    modules = options.network_module or (OWN,)
    arguments = options.network_args[index].split(";") if index < len(options.network_args) else []
    return NetworkOptions(
        network_module=modules[min(index, len(modules) - 1)],
        network_weights=options.network_weights[index],
        network_args=tuple(part.strip() for part in arguments if part.strip()),
        dim_from_weights=True,
    )


class Precomputed:
    """LoRAs in the weights of the model, put in anew from the untouched weights when a strength changes."""

    def __init__(self, model: Model, paths: Sequence[str]) -> None:
        targets = model.family.lora_targets(model)
        self._layers = [layers_for(targets, load_weights(Path(path)), path) for path in paths]
        modules = {target.key: target.module for target in targets}
        for path, layers in zip(paths, self._layers, strict=True):
            check_sizes(layers, modules, path)
        self._modules = {key: modules[key] for layers in self._layers for key in layers}
        self._untouched: dict[str, Tensor] = {
            key: module.get_parameter("weight").detach() for key, module in self._modules.items()
        }
        self._now: tuple[float, ...] | None = None

    @torch.no_grad()
    def set_multipliers(self, multipliers: tuple[float, ...]) -> None:
        """Strength of each LoRA."""
        if multipliers == self._now:
            return
        for key, module in self._modules.items():
            untouched = self._untouched[key]
            weight = untouched.float()
            for layers, multiplier in zip(self._layers, multipliers, strict=True):
                if key in layers and multiplier:
                    weight = weight + multiplier * weight_change(layers[key], untouched.shape).to(weight.device)
            module.get_parameter("weight").data = weight.to(untouched.dtype)
        self._now = multipliers


def _merge(model: Model, file: NetworkOptions, strength: float) -> None:
    path = str(file.network_weights)
    if is_own(file.network_module):
        merge(model.family.lora_targets(model), load_weights(Path(path)), strength, path)
    else:
        merge_external(model, file, path, strength)


def _attach(model: Model, file: NetworkOptions) -> TrainedNetwork:
    network: TrainedNetwork
    if is_own(file.network_module):
        targets, tensors = model.family.lora_targets(model), load_weights(Path(str(file.network_weights)))
        network = attach_like(targets, tensors, file, seed=0, blocks=model.family.blocks)
    else:
        network = attach_external(model, file, seed=0)
    network.to(model.placement.device)
    network.eval()
    for parameter in network.trainable():
        parameter.requires_grad_(False)
    return network
