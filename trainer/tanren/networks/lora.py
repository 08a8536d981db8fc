"""LoRA as kohya trains it: which layers get how much rank, their learning rates, and their names in files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.draws import draw_seed
from ..errors import Problems, UsageError
from ..families.base import LoraTarget
from ..options.blocks import SD_BLOCKS, BlockLayout
from ..options.network import NetworkOptions
from .base import FlatBuffer, LearningRates, MaxNorm, ParameterGroup, WriteWeights
from .lora_args import LoraArgs, parse_lora_args, split_args
from .lora_layer import Dropout, LoraLayer
from .lora_weights import ALPHA, DOWN, UP, LayerWeights, layers_for, refuse_strangers, shaped_like
from .module_names import OWN

UNET = "unet"
TRANSFORMER = "Transformer2DModel"
PLUS = " plus"


def attach(
    targets: Sequence[LoraTarget], options: NetworkOptions, seed: int, blocks: BlockLayout = SD_BLOCKS
) -> LoraNetwork:
    """Put a fresh LoRA on a live model; `up` starts at zero, so that training begins at the model itself.

    Args:
        targets: every layer of the model that a LoRA may change.
        options: ranks, alphas, dropout, what to train.
        seed: of the run; each layer's start depends on it and on the layer's name alone.
        blocks: numbering of the U-Net's blocks.

    Raises:
        UserError: bad `--network_args`, or nothing left to train.
    """
    args = _read_args(options, blocks)
    layers = {}
    for target in _trained(targets, options):
        rank, alpha = _rank_and_alpha(target, args)
        if rank:
            layers[target.key] = LayerPlan(target, rank, alpha)
    return LoraNetwork(layers, args, options, seed)


def attach_like(
    targets: Sequence[LoraTarget],
    tensors: Mapping[str, Tensor],
    options: NetworkOptions,
    seed: int,
    blocks: BlockLayout = SD_BLOCKS,
) -> LoraNetwork:
    """Put a LoRA with the layers, ranks and alphas of a file (`--dim_from_weights`) on a live model, and its weights.

    Raises:
        ModelFileError: the file is not a plain LoRA for this kind of model.
    """
    where = options.network_weights or "--network_weights"
    stored = layers_for(targets, tensors, where)
    wanted = {target.key: target for target in _trained(targets, options)}
    plans = {
        key: LayerPlan(wanted[key], layer.rank, layer.alpha) for key, layer in sorted(stored.items()) if key in wanted
    }
    network = LoraNetwork(plans, _read_args(options, blocks), options, seed)
    load_start(network, tensors, targets, where)
    return network


def load_start(network: LoraNetwork, tensors: Mapping[str, Tensor], targets: Sequence[LoraTarget], where: str) -> None:
    """Start from the weights of a file (`--network_weights`); layers that it lacks keep their fresh start.

    The file's alphas come along: they are part of what its weights mean.

    Raises:
        ModelFileError: layers that the model does not have, or another rank.
    """
    stored = layers_for(targets, tensors, where)
    missing = [key for key in network.layers if key not in stored]
    unused = [key for key in stored if key not in network.layers]
    for key, layer in network.layers.items():
        if key in stored:
            network.put(key, stored[key], where)
            layer.alpha = stored[key].alpha
    if missing:
        network.notes.append(f"{where}: {len(missing)} layers are not in the file and start fresh.")
    if unused:
        network.notes.append(f"{where}: {len(unused)} layers of the file are not trained in this run and left away.")


def _read_args(options: NetworkOptions, blocks: BlockLayout) -> LoraArgs:
    problems = Problems()
    args = parse_lora_args(
        options.network_args,
        problems,
        rank=options.network_dim,
        alpha=options.network_alpha,
        dropout=options.network_dropout,
        blocks=blocks,
    )
    problems.raise_if_any()
    return args


def _recorded_args(options: NetworkOptions) -> dict[str, Any]:
    words: dict[str, Any] = dict(split_args(options.network_args, Problems()))
    if words and not options.dim_from_weights:
        words.setdefault("dropout", options.network_dropout)
    return words


def _trained(targets: Sequence[LoraTarget], options: NetworkOptions) -> Iterator[LoraTarget]:
    for target in targets:
        left_out = options.network_train_text_encoder_only if target.part == UNET else options.network_train_unet_only
        if not left_out:
            yield target


def _rank_and_alpha(target: LoraTarget, args: LoraArgs) -> tuple[int, float]:
    if target.part == UNET and target.container != TRANSFORMER and not args.adapts_convolutions:
        return 0, 0.0
    # The 1×1 shortcut and the time projection of a resnet count as linear, as in kohya's files.
    weight = target.module.get_parameter("weight")
    is_wide_conv = weight.dim() == 4 and weight[0, 0].numel() > 1
    return args.rank_and_alpha(target.block, is_wide_conv=is_wide_conv)


class LayerPlan:
    """A layer that will get a low-rank change."""

    __slots__ = ("alpha", "rank", "target")

    def __init__(self, target: LoraTarget, rank: int, alpha: float) -> None:
        self.target, self.rank, self.alpha = target, rank, alpha

    def start(self, seed: int) -> tuple[Tensor, Tensor]:
        """Down drawn evenly from ±1/√fan_in (kaiming with a = √5), up zero; both float32 on the CPU."""
        weight = self.target.module.get_parameter("weight")
        down = torch.empty(self.rank, *weight.shape[1:])
        bound = 1 / math.sqrt(down[0].numel())
        generator = torch.Generator().manual_seed(draw_seed(seed, "network", self.target.key))
        down.uniform_(-bound, bound, generator=generator)
        return down, torch.zeros(weight.shape[0], self.rank, *[1] * (weight.dim() - 2))


class LoraNetwork(nn.Module):
    """The LoRA of one model. Implements `TrainedNetwork`; made by `attach`."""

    needs_autocast = False
    file_kind = "lora"
    module_name = OWN

    def __init__(self, plans: Mapping[str, LayerPlan], args: LoraArgs, options: NetworkOptions, seed: int) -> None:
        super().__init__()
        if not plans:
            raise UsageError(where="--network_args", what="no layer is left to train.", fix="Give some block a rank.")
        dropout = Dropout(args.dropout, args.rank_dropout, args.module_dropout)
        layers: dict[str, nn.Module] = {}
        for key, plan in plans.items():
            leaf: Any = plan.target.module
            layers[key] = LoraLayer(leaf, *plan.start(seed), plan.alpha, dropout)
        self._layers = nn.ModuleDict(layers)
        self._targets = {key: plan.target for key, plan in plans.items()}
        self._args = args
        self._buffers_by_group: list[FlatBuffer] = []
        self.notes: list[str] = []
        self.module_args = _recorded_args(options)

    @property
    def layers(self) -> dict[str, LoraLayer]:
        """Layers by their name in files, in the order of the model."""
        return {key: layer for key, layer in self._layers.items() if isinstance(layer, LoraLayer)}

    @property
    def trains_unet(self) -> bool:
        """True when a layer of the U-Net learns."""
        return any(target.part == UNET for target in self._learning())

    @property
    def trains_text_encoder(self) -> bool:
        """True when a layer of a text encoder learns."""
        return any(target.part != UNET for target in self._learning())

    def _learning(self) -> Iterator[LoraTarget]:
        for key, layer in self.layers.items():
            if layer.up.requires_grad or layer.down.requires_grad:
                yield self._targets[key]

    def parameter_groups(self, rates: LearningRates) -> list[ParameterGroup]:
        """Text encoders first, then the U-Net, block by block when factors are given; with LoRA+, up apart from down.

        The parameters of a group become views into one flat tensor. Groups without a rate are frozen and left out.
        """
        rows: dict[str, tuple[list[nn.Parameter], float]] = {}
        for key, layer in self.layers.items():
            name, rate, plus = self._rate(self._targets[key], rates)
            for suffix, parameter, factor in (("", layer.down, 1.0), (PLUS if plus else "", layer.up, plus or 1.0)):
                parameter.requires_grad_(rate * factor != 0)
                rows.setdefault(name + suffix, ([], rate * factor))[0].append(parameter)
        groups = [ParameterGroup(name, found, rate) for name, (found, rate) in rows.items() if rate]
        groups.sort(key=lambda group: not group.name.startswith("textencoder"))
        for group in groups:
            group.flat = FlatBuffer(group.params)
        self._buffers_by_group = [group.flat for group in groups if group.flat is not None]
        return groups

    def _rate(self, target: LoraTarget, rates: LearningRates) -> tuple[str, float, float | None]:
        """Group name, learning rate and LoRA+ ratio of a layer."""
        if target.part == UNET:
            name = UNET if self._args.block_factors is None else f"unet_block{target.block}"
            return name, rates.of_unet() * self._args.factor(target.block), self._args.plus_unet
        encoders = sorted({found.part for found in self._targets.values() if found.part != UNET})
        index = max(int(target.part.removeprefix("text_encoder_")) - 1, 0) if target.part != "text_encoder" else 0
        name = "textencoder" if len(encoders) == 1 else f"textencoder {index + 1}"
        return name, rates.of_text_encoder(index), self._args.plus_text_encoder

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Keep the flat memory when the network is moved or cast."""
        super()._apply(fn, recurse)
        for flat in self._buffers_by_group:
            if not flat.is_intact():
                flat.gather()
        return self

    def trainable(self) -> list[nn.Parameter]:
        """Parameters that learn."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def set_multiplier(self, multiplier: float) -> None:
        """Strength of the network; 0 gives the untrained model, bit for bit."""
        for layer in self.layers.values():
            layer.multiplier = multiplier

    def remove(self) -> None:
        """Give every live layer its own forward back."""
        for layer in self.layers.values():
            layer.remove()

    def tensors(self) -> dict[str, Tensor]:
        """Copies on the CPU under kohya's names; alpha is a 0-dim float32."""
        found = {}
        for key, layer in self.layers.items():
            found[f"{key}.{ALPHA}"] = torch.tensor(float(layer.alpha))
            found[f"{key}.{DOWN}"] = layer.down.detach().to("cpu", copy=True).contiguous()
            found[f"{key}.{UP}"] = layer.up.detach().to("cpu", copy=True).contiguous()
        return found

    def diffusers_paths(self) -> dict[str, str]:
        """Layers in LoRA files -> their paths in diffusers' pipelines."""
        return {key: target.path for key, target in self._targets.items()}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises:
            ModelFileError: other layers or ranks than this network has.
        """
        where = "the saved network"
        stored = layers_for(list(self._targets.values()), tensors, where)
        refuse_strangers(self.layers, [self._targets[key] for key in stored], where)
        for key in stored:
            self.put(key, stored[key], where)

    def put(self, key: str, stored: LayerWeights, where: str) -> None:
        """Copy one layer's weights in place; dtypes and devices may differ."""
        layer = self.layers[key]
        with torch.no_grad():
            layer.down.copy_(shaped_like(stored.down, layer.down.shape, f"{key}.{DOWN}", where))
            layer.up.copy_(shaped_like(stored.up, layer.up.shape, f"{key}.{UP}", where))

    @torch.no_grad()
    def apply_max_norm(self, limit: float) -> MaxNorm:
        """Scale down every layer whose change is larger than `limit` (Frobenius norm of alpha/rank · up · down).

        The norm comes from the two rank × rank products of the factors, so the change itself is never formed.
        """
        norms, ratios = [], []
        for layer in self.layers.values():
            down, up = layer.down.float().flatten(1), layer.up.float().flatten(1)
            square = ((up.t() @ up) * (down @ down.t())).sum().clamp_min(0)
            norm = square.sqrt() * layer.scale
            floored = norm.clamp_min(limit / 2)
            ratio = floored.clamp_max(limit) / floored
            layer.down.mul_(ratio.sqrt().to(layer.down.dtype))
            layer.up.mul_(ratio.sqrt().to(layer.up.dtype))
            norms.append(norm * ratio)
            ratios.append(ratio)
        after = torch.stack(norms)
        return MaxNorm(scaled=(torch.stack(ratios) < 1).sum(), mean=after.mean(), maximum=after.max())

    def enable_gradient_checkpointing(self) -> None:
        """Nothing to do: the nodes work under recomputation as they are."""

    def on_epoch_start(self) -> None:
        """Dropout is on while training."""
        self.train()

    def on_step_start(self) -> None:
        """Nothing to do."""

    def save(self, path: Path, dtype: torch.dtype | None, metadata: Mapping[str, str], write: WriteWeights) -> None:
        """Hand the tensors to our writer."""
        write(path, self.tensors(), dtype, metadata)
