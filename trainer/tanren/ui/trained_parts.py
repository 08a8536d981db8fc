"""What of the model learns and at which rate; what does not, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..options.leco import LecoOptions
from ..options.lllite import LlliteOptions
from ..options.network import NetworkOptions
from ..options.optimizer import OptimizerOptions
from ..options.sdxl import SdxlOptions
from ..options.spec import Settings
from .words import Text, text

PARTS = (("unet", "U-Net"), ("text_encoder", "Text encoder"))
SEVERAL = "Text encoders"
# The text encoders of SDXL, in the order of their rates.
ENCODERS = ("CLIP-L", "OpenCLIP bigG")


def trained_parts(settings: Settings, training: Mapping[str, Any]) -> tuple[Text, ...]:
    """One sentence for the U-Net and one for the text encoder or encoders.

    Args:
        settings: of the run.
        training: the facts of the plan about training; empty when they could not be told.
    """
    network, rates = settings[NetworkOptions], settings[OptimizerOptions]
    only_other = {"unet": network.network_train_text_encoder_only, "text_encoder": network.network_train_unet_only}
    has_two = SdxlOptions in settings
    sentences = []
    for key, part in PARTS:
        name = text(SEVERAL if has_two and key == "text_encoder" else part)
        if key not in training:
            continue
        if training[key]:
            learning_rates = training["text_encoder_lrs"] if name.template == SEVERAL else [training[f"{key}_lr"]]
            sentences.append(_learning(name, learning_rates, training[f"{key}_layers"], rates.chosen))
        elif key != "unet" and LecoOptions in settings:
            sentences.append(text("{part}: not trained, because LECO changes the U-Net only", part=name))
        elif key != "unet" and isinstance(network, LlliteOptions):
            sentences.append(text("{part}: not trained, because ControlNet-LLLite changes the U-Net only", part=name))
        elif only_other[key]:
            sentences.append(text("{part}: not trained, as chosen", part=name))
        else:
            sentences.append(text("{part}: not trained, because its learning rate is 0", part=name))
    return tuple(sentences)


def _learning(part: Text, rates: Sequence[float], layers: int | None, optimizer: str) -> Text:
    values = {"part": part, "rate": _rate(part, rates), "optimizer": optimizer}
    if layers is None:
        return text("{part}: trained with {optimizer}, learning rate {rate}", **values)
    return text("{part}: {layers} layers trained with {optimizer}, learning rate {rate}", layers=layers, **values)


def _rate(part: Text, rates: Sequence[float]) -> str:
    """The rate, or the rates of both text encoders where they differ."""
    if part.template != SEVERAL or len(set(rates)) == 1:
        return f"{rates[0]:g}"
    return ", ".join(f"{rate:g} ({name})" for rate, name in zip(rates, ENCODERS, strict=False))
