"""What every trained network offers, whoever wrote it, and the memory its weights live in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

WriteWeights = Callable[[Path, Mapping[str, Tensor], "torch.dtype | None", Mapping[str, str]], None]
ReadWeights = Callable[[Path], dict[str, Tensor]]


@dataclass(frozen=True)
class LearningRates:
    """`--learning_rate`, `--unet_lr` and `--text_encoder_lr`.

    Args:
        default: used where the others say nothing.
        unet: rate of the U-Net's layers, or None for the default.
        text_encoders: one rate per text encoder; the last one given serves the rest, none at all means the default.
    """

    default: float
    unet: float | None = None
    text_encoders: tuple[float, ...] = ()

    def of_unet(self) -> float:
        """Rate of the U-Net."""
        return self.default if self.unet is None else self.unet

    def of_text_encoder(self, index: int) -> float:
        """Rate of the text encoder at `index`, counted from 0."""
        if not self.text_encoders:
            return self.default
        return self.text_encoders[min(index, len(self.text_encoders) - 1)]


class FlatBuffer:
    """One stretch of memory that holds the values of many parameters, each of them a view into it.

    Reductions, clipping and element-wise optimizers can then act on one tensor, and addresses stay the same from step
    to step, as a captured graph needs. Saving and state dicts see ordinary parameters.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.values = torch.empty(0)
        self.grads: Tensor | None = None
        self.gather()

    def gather(self) -> None:
        """Make every parameter a view into one new stretch of memory, in the dtype and place it has now."""
        first = self.parameters[0]
        self.values = torch.empty(sum(p.numel() for p in self.parameters), dtype=first.dtype, device=first.device)
        self.grads = None
        for parameter, view in zip(self.parameters, self._views(self.values), strict=True):
            view.copy_(parameter.detach())
            parameter.data = view

    def bind_grads(self) -> Tensor:
        """Give every parameter a gradient that is a view into one tensor, zeroed, and return that tensor.

        Whoever binds must clear gradients with `zero_grads`; `zero_grad(set_to_none=True)` would cut the views loose.
        """
        if self.grads is None:
            self.grads = torch.zeros_like(self.values)
        self.grads.zero_()
        for parameter, view in zip(self.parameters, self._views(self.grads), strict=True):
            parameter.grad = view
        return self.grads

    def zero_grads(self) -> None:
        """Clear bound gradients where they are."""
        if self.grads is not None:
            self.grads.zero_()

    def is_intact(self) -> bool:
        """True while every parameter is still the view it was made (moving or casting the network breaks them)."""
        views = self._views(self.values)
        return all(p.data_ptr() == view.data_ptr() for p, view in zip(self.parameters, views, strict=True))

    def _views(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, [p.numel() for p in self.parameters])
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]


@dataclass
class ParameterGroup:
    """Parameters that share a learning rate.

    Args:
        name: as trackers show it: "unet", "textencoder", "unet_block4", each with " plus" for LoRA+.
        params: never empty.
        lr: never 0 or None; such groups are left out and their parameters frozen.
        flat: the memory behind `params`, or None where the network keeps its own.
    """

    name: str
    params: list[nn.Parameter]
    lr: float
    flat: FlatBuffer | None = field(default=None, repr=False)


class MaxNorm(NamedTuple):
    """Outcome of `--scale_weight_norms`, as 0-dim tensors on the device so that nobody waits for them.

    `scaled` counts the layers that were scaled down; `mean` and `maximum` are over the norms after scaling.
    """

    scaled: Tensor
    mean: Tensor
    maximum: Tensor


class TrainedNetwork(Protocol):
    """A network attached to a live model.

    `file_kind` is what modelspec calls its files. `module_name` and `module_args` are what the metadata records: no
    arguments when none were given, else the words as typed and `dropout`, a number or None, as sd-scripts hands it to
    every module. `notes` are lines for the log; `needs_autocast` is True for networks that do not cast their own
    weights to the model's dtype.
    """

    file_kind: str
    module_name: str
    module_args: dict[str, Any]
    notes: list[str]
    needs_autocast: bool

    @property
    def trains_unet(self) -> bool:
        """True when a layer of the U-Net learns."""

    @property
    def trains_text_encoder(self) -> bool:
        """True when a layer of a text encoder learns, so that captions are encoded with gradient."""

    def parameter_groups(self, rates: LearningRates) -> list[ParameterGroup]:
        """Groups in the order in which optimizers and trackers see them; freezes what has no rate."""

    def trainable(self) -> Iterable[nn.Parameter]:
        """Parameters that learn."""

    def set_multiplier(self, multiplier: float) -> None:
        """Strength of the network; 0 gives the untrained model."""

    def train(self, mode: bool = True) -> Any:
        """Switch dropout on or off."""

    def eval(self) -> Any:
        """Switch dropout off."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move or cast the weights; before the optimizer is made."""

    def tensors(self) -> dict[str, Tensor]:
        """Copies on the CPU under their names in LoRA files."""

    def diffusers_paths(self) -> dict[str, str]:
        """Layers in LoRA files -> their paths in diffusers' pipelines; empty where the network is no plain LoRA."""

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave; every name must be there."""

    def apply_max_norm(self, limit: float) -> MaxNorm | None:
        """Scale down layers whose update is larger than `limit`; None where the network cannot."""

    def enable_gradient_checkpointing(self) -> None:
        """Told when the model recomputes its activations."""

    def on_epoch_start(self) -> None:
        """Told at the start of every epoch."""

    def on_step_start(self) -> None:
        """Told at the start of every update."""

    def save(self, path: Path, dtype: torch.dtype | None, metadata: Mapping[str, str], write: WriteWeights) -> None:
        """Write the network's file; `write` is our own writer, which third-party networks replace by theirs."""
