"""What of the model learns and at which rate; what does not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..options.network import NetworkOptions
from ..options.optimizer import OptimizerOptions
from ..options.spec import Settings
from .words import Text, text

PARTS = (("unet", "U-Net"), ("text_encoder", "Text encoder"))


def trained_parts(settings: Settings, training: Mapping[str, Any]) -> tuple[Text, ...]:
    """One sentence for the U-Net and one for the text encoder.

    Args:
        settings: of the run.
        training: the facts of the plan about training; empty when they could not be told.
    """
    network, rates = settings[NetworkOptions], settings[OptimizerOptions]
    only_other = {"unet": network.network_train_text_encoder_only, "text_encoder": network.network_train_unet_only}
    sentences = []
    for key, part in PARTS:
        name = text(part)
        if key not in training:
            continue
        if training[key]:
            sentences.append(_learning(name, training[f"{key}_lr"], training[f"{key}_layers"], rates.chosen))
        elif only_other[key]:
            sentences.append(text("{part}: not trained, as chosen", part=name))
        else:
            sentences.append(text("{part}: not trained, because its learning rate is 0", part=name))
    return tuple(sentences)


def _learning(part: Text, rate: float, layers: int | None, optimizer: str) -> Text:
    values = {"part": part, "rate": f"{rate:g}", "optimizer": optimizer}
    if layers is None:
        return text("{part}: trained with {optimizer}, learning rate {rate}", **values)
    return text("{part}: {layers} layers trained with {optimizer}, learning rate {rate}", layers=layers, **values)
