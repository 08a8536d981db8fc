"""Models built without weights of their own, then given those of a file.

The class is made on the meta device, so nothing is allocated or drawn at random; the file's tensors become its
parameters as they are. A mapped file in the right dtype is thereby the model: no second copy exists.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from ..errors import ModelFileError
from ..events import Report
from . import eight_bit, text_keys
from .configs import arguments_for
from .frozen import STORED
from .source import Component

SHOWN_NAMES = 5


def build_unet(
    part: Component, device: torch.device, dtype: torch.dtype, report: Report, *, eight_bits: bool = False
) -> nn.Module:
    """The frozen U-Net of a component; with `eight_bits` its large weights are float8 from the moment they are read."""
    arguments = arguments_for(UNet2DConditionModel.__init__, part.config, str(part.file.path))
    small = eight_bit.of_unet if eight_bits else None
    return _built(lambda: UNet2DConditionModel(**arguments), part, device, dtype, report, small)


def build_vae(part: Component, device: torch.device, dtype: torch.dtype, report: Report) -> nn.Module:
    """The frozen autoencoder of a component."""
    arguments = arguments_for(AutoencoderKL.__init__, part.config, str(part.file.path))
    return _built(lambda: AutoencoderKL(**arguments), part, device, dtype, report)


def build_text_encoder(
    part: Component, device: torch.device, dtype: torch.dtype, report: Report, *, eight_bits: bool = False
) -> nn.Module:
    """The frozen CLIP text encoder of a component; with `eight_bits` its layers' matrices are float8."""
    return _text_encoder(CLIPTextModel, part, device, dtype, report, eight_bits)


def build_projecting_encoder(
    part: Component, device: torch.device, dtype: torch.dtype, report: Report, *, eight_bits: bool = False
) -> nn.Module:
    """The same with the projection of its pooled state."""
    return _text_encoder(CLIPTextModelWithProjection, part, device, dtype, report, eight_bits)


def _text_encoder(
    kind: Callable[[CLIPTextConfig], nn.Module],
    part: Component,
    device: torch.device,
    dtype: torch.dtype,
    report: Report,
    eight_bits: bool,
) -> nn.Module:
    arguments = arguments_for(CLIPTextConfig.__init__, part.config, str(part.file.path))
    model = _on_meta(lambda: kind(CLIPTextConfig(**arguments)), part)
    # Whatever level of names this version of transformers has.
    theirs = {text_keys.without_hf_level(name): name for name in model.state_dict()}
    tensors = {theirs.get(name, name): tensor for name, tensor in part.tensors.items()}
    small = eight_bit.of_text_encoder if eight_bits else None
    give_weights(model, part, tensors, device, dtype, report, small)
    for name, buffer in list(model.named_buffers()):
        if name.endswith("position_ids"):
            holder = model.get_submodule(name.rpartition(".")[0])
            ids = torch.arange(buffer.shape[-1], device=device).expand(1, -1)
            holder.register_buffer("position_ids", ids, persistent=False)
    return model


def _built(
    make: Callable[[], Any],
    part: Component,
    device: torch.device,
    dtype: torch.dtype,
    report: Report,
    in_eight_bits: eight_bit.Choice | None = None,
) -> nn.Module:
    model = _on_meta(make, part)
    give_weights(model, part, part.tensors, device, dtype, report, in_eight_bits)
    return model


def _on_meta(make: Callable[[], Any], part: Component) -> Any:
    try:
        with torch.device("meta"), quiet_libraries():
            return make()
    except (
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        IndexError,
        NotImplementedError,
        ZeroDivisionError,
    ) as error:
        raise ModelFileError(
            where=str(part.file.path),
            what=f"No {part.title} can be built from the model's configuration.",
            why=str(error)[:200],
            fix="Take the model from its source again.",
        ) from error


def give_weights(
    model: nn.Module,
    part: Component,
    tensors: Mapping[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    report: Report,
    in_eight_bits: eight_bit.Choice | None = None,
) -> None:
    """Make tensors the frozen parameters of a model that stands on the meta device.

    Args:
        model: its floating tensors become `dtype` on `device`.
        part: where the tensors come from, for messages.
        tensors: by the model's own names; a shape may differ by trailing ones (1x1 convolution against linear layer).
        in_eight_bits: which of them become float8 instead.

    Raises:
        ModelFileError: names are missing or shapes differ; the first ones are listed.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    missing = [name for name in wanted if name not in tensors]
    unfit = [
        f"{name} is {list(tensors[name].shape)} instead of {list(shape)}"
        for name, shape in wanted.items()
        if name in tensors and _without_ones(tensors[name].shape) != _without_ones(shape)
    ]
    # Quantised models hold whole numbers that mean nothing without their scales.
    unfit += [
        f"{name} holds {tensors[name].dtype}".replace("torch.", "")
        for name in wanted
        if name in tensors and not tensors[name].is_floating_point()
    ]
    if missing or unfit:
        raise _does_not_fit(part, missing, unfit)
    unknown = [*part.unknown, *(name for name in tensors if name not in wanted)]
    if unknown:
        report.warning(
            f"{part.file.path.name}: {len(unknown)} tensors of the {part.title} are not used: {_first(unknown)}."
        )
    placed = {
        name: part.file.place(
            tensors[name].reshape(shape), device, STORED if in_eight_bits and in_eight_bits(name, shape) else dtype
        )
        for name, shape in wanted.items()
    }
    part.file.check_unchanged()
    model.load_state_dict(placed, strict=True, assign=True)
    model.requires_grad_(False)
    model.eval()
    eight_bit.teach_layers(model)


def _without_ones(shape: torch.Size | tuple[int, ...]) -> tuple[int, ...]:
    """A 1x1 convolution and a linear layer differ only in trailing ones."""
    kept = list(shape)
    while len(kept) > 1 and kept[-1] == 1:
        kept.pop()
    return tuple(kept)


def _does_not_fit(part: Component, missing: list[str], unfit: list[str]) -> ModelFileError:
    reasons = []
    if missing:
        reasons.append(f"{len(missing)} tensors are missing: {_first(missing)}")
    if unfit:
        reasons.append(f"{len(unfit)} have another shape or type: {_first(unfit)}")
    return ModelFileError(
        where=str(part.file.path),
        what=f"The {part.title} in {part.file.path.name} does not fit its configuration.",
        why="; ".join(reasons) + ".",
        fix="The file may be damaged, pruned, or of another kind of model; take it from its source again.",
    )


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Building from a config makes transformers and diffusers remark on keys that every published config has."""
    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
