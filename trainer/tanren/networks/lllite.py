"""ControlNet-LLLite: the layers that a control picture steers, and their names in files.

A file holds, for each layer, `lllite_unet_<path>.<part>.<index>.weight` and `.bias`: the parts are `conditioning1`,
`down`, `mid` and `up`, the path is that of ldm's U-Net with underscores. There are no alphas; readers tell the sizes
from the shapes, and want every layer complete. SDXL has 136 such layers, 1600 tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelFileError, UsageError
from ..families.base import LoraTarget
from ..options.lllite import LlliteOptions
from .base import LearningRates, MaxNorm, ParameterGroup, WriteWeights
from .lllite_layer import Control, LlliteLayer, start_seed
from .lllite_size import depth_of, sizes_of

MODULE = "networks.control_net_lllite"
UNET = "unet"
LORA_PREFIX, PREFIX = "lora_unet_", "lllite_unet_"
FIRST_OF_CONTROL, FIRST_OF_DOWN = "conditioning1.0.weight", "down.0.weight"
IN_TRANSFORMER, SEES_TEXT = "_transformer_blocks_", ("attn2_to_k", "attn2_to_v")
SHOWN = 5


def attach(targets: Sequence[LoraTarget], options: LlliteOptions, seed: int) -> LlliteNetwork:
    """Put a fresh ControlNet-LLLite on a live model.

    Args:
        targets: every layer of the model that a network may change.
        options: its sizes.
        seed: of the run.

    Raises:
        UsageError: sizes that are missing or odd, or a model without such layers.
    """
    channels, dim = options.cond_emb_dim, options.network_dim
    if channels is None or dim is None or channels % 2:
        raise UsageError(
            where="--cond_emb_dim, --network_dim",
            what=f"The sizes {channels} and {dim} make no control network.",
            fix="Use --cond_emb_dim=32 --network_dim=64.",
        )
    control = Control()
    layers = {}
    for target in targets:
        depth = depth_of(target.key) if target.part == UNET else None
        if depth is not None:
            key = target.key.replace(LORA_PREFIX, PREFIX, 1)
            layers[key] = LlliteLayer(
                target.module, control, depth, channels, dim, options.network_dropout or 0.0, start_seed(seed, key)
            )
    if not layers:
        raise UsageError(where=MODULE, what="This model has no layers for ControlNet-LLLite.", fix="Use an SDXL model.")
    return LlliteNetwork(layers, control)


def attach_like(targets: Sequence[LoraTarget], tensors: Mapping[str, Tensor], where: str) -> LlliteNetwork:
    """Put the ControlNet-LLLite of a file on a live model: the layers that the file has, in its sizes.

    Files of changed trainers steer other layers too, such as those of the blocks that go up; each tells its own sizes.

    Args:
        targets: every layer of the model that a network may change.
        tensors: content of the file.
        where: the file, for messages.

    Raises:
        ModelFileError: the file is something else, or was made for another model.
    """
    shapes = shapes_by_layer(tensors)
    if not any(FIRST_OF_CONTROL in layer and FIRST_OF_DOWN in layer for layer in shapes.values()):
        what = "This is no ControlNet-LLLite."
        raise ModelFileError(where=where, what=what, fix="Give a file of sdxl_train_control_net_lllite.")
    control = Control()
    layers = {}
    for target in targets:
        key = target.key.replace(LORA_PREFIX, PREFIX, 1)
        sizes = sizes_of(shapes.get(key, {})) if is_steerable(target) else None
        if sizes is not None:
            layers[key] = LlliteLayer(target.module, control, *sizes, 0.0, start_seed(0, key))
    network = LlliteNetwork(layers, control)
    try:
        network.load(tensors, where)
    except ModelFileError:
        network.remove()
        raise
    return network


def is_steerable(target: LoraTarget) -> bool:
    """Linear layers of the U-Net whose input is the picture's tokens; files for other layers are not known."""
    is_linear = target.module.get_parameter("weight").dim() == 2
    return target.part == UNET and is_linear and IN_TRANSFORMER in target.key and not target.key.endswith(SEES_TEXT)


def shapes_by_layer(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, torch.Size]]:
    """Layer -> what stands behind its name -> shape."""
    found: dict[str, dict[str, torch.Size]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.partition(".")
        found.setdefault(layer, {})[part] = tensor.shape
    return found


class LlliteNetwork(nn.Module):
    """The ControlNet-LLLite of one model. Implements `TrainedNetwork`; made by `attach`."""

    needs_autocast = False
    file_kind = "control-net-lllite"
    module_name = MODULE
    trains_text_encoder = False

    def __init__(self, layers: Mapping[str, LlliteLayer], control: Control) -> None:
        super().__init__()
        self._layers = nn.ModuleDict(dict(layers))
        self._control = control
        self.module_args: dict[str, Any] = {}
        self.notes: list[str] = []

    @property
    def layers(self) -> dict[str, LlliteLayer]:
        """Layers by their name in files, in the order of the model."""
        return {key: layer for key, layer in self._layers.items() if isinstance(layer, LlliteLayer)}

    @property
    def trains_unet(self) -> bool:
        """True when its layers learn."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def show(self, pictures: Tensor | None) -> None:
        """Steer the model by these control pictures from now on.

        Args:
            pictures: (B, 3, H, W) in -1..1, on the model's device, as large as the pictures that are made; None leaves
                the model as it is.
        """
        self._control.show(pictures)

    def parameter_groups(self, rates: LearningRates) -> list[ParameterGroup]:
        """One group; none without a rate."""
        rate, parameters = rates.of_unet(), list(self.parameters())
        for parameter in parameters:
            parameter.requires_grad_(rate != 0)
        return [ParameterGroup(UNET, parameters, rate)] if rate else []

    def trainable(self) -> list[nn.Parameter]:
        """Parameters that learn."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def set_multiplier(self, multiplier: float) -> None:
        """Strength of the control; 0 gives the untrained model, bit for bit."""
        self._control.multiplier = multiplier

    def remove(self) -> None:
        """Give every live layer its own forward back."""
        for layer in self.layers.values():
            layer.remove()

    def tensors(self) -> dict[str, Tensor]:
        """Copies on the CPU under their names in files."""
        return {
            f"{key}.{name}": parameter.detach().to("cpu", copy=True).contiguous()
            for key, layer in self.layers.items()
            for name, parameter in layer.named_parameters()
        }

    def diffusers_paths(self) -> dict[str, str]:
        """None: diffusers has no such network."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises:
            ModelFileError: other layers or sizes than this network has.
        """
        self.load(tensors, "the saved network")

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Take over the weights of a file; dtypes and devices may differ.

        Raises:
            ModelFileError: other layers or sizes than this network has.
        """
        own = {f"{key}.{name}": one for key, layer in self.layers.items() for name, one in layer.named_parameters()}
        strange, missing = sorted(tensors.keys() - own.keys()), sorted(own.keys() - tensors.keys())
        if strange or missing:
            names = [*(f"{name} is not in the model" for name in strange), *(f"{name} is missing" for name in missing)]
            raise ModelFileError(
                where=where,
                what=f"This is no ControlNet-LLLite for this model: {'; '.join(names[:SHOWN])}"
                f"{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}.",
                fix="Give a file that was trained on the same kind of model.",
            )
        for name, parameter in own.items():
            if tensors[name].shape != parameter.shape:
                raise ModelFileError(
                    where=where,
                    what=f"{name} is {list(tensors[name].shape)}, here {list(parameter.shape)} is needed.",
                    fix="Give the file's own --cond_emb_dim and --network_dim.",
                )
            parameter.copy_(tensors[name])

    def apply_max_norm(self, limit: float) -> MaxNorm | None:
        """None: there is no update of which a norm could be limited."""
        return None

    def enable_gradient_checkpointing(self) -> None:
        """Nothing to do: the layers are recomputed with the blocks that they steer."""

    def on_epoch_start(self) -> None:
        """Dropout is on while training."""
        self.train()

    def on_step_start(self) -> None:
        """Nothing to do."""

    def save(self, path: Path, dtype: torch.dtype | None, metadata: Mapping[str, str], write: WriteWeights) -> None:
        """Hand the tensors to our writer."""
        write(path, self.tensors(), dtype, metadata)
