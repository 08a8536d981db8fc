"""The network that is trained on top of the frozen model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .spec import Conflicts, Refuses, Requires, option


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The small network trained on top of the frozen model."""

    network_module: str | None = option(
        None,
        "Kind of network: networks.lora, or a module of another package such as lycoris.kohya.",
        label="Kind of network",
        suggestions=("networks.lora", "lycoris.kohya"),
        level="basic",
        saved_as="ss_network_module",
    )
    network_dim: int | None = option(
        None,
        "Rank of the update; the file grows with it. Not given: 4.",
        label="Network rank (dim)",
        minimum=1,
        level="basic",
        saved_as="ss_network_dim",
    )
    network_alpha: float = option(
        1.0,
        "The update is scaled by alpha / rank; 0 means alpha equals rank.",
        label="Network alpha",
        minimum=0,
        level="basic",
        saved_as="ss_network_alpha",
    )
    network_dropout: float | None = option(
        None,
        "Probability of dropping each of the rank's channels.",
        label="Network dropout",
        minimum=0,
        maximum=1,
        saved_as="ss_network_dropout",
    )
    network_args: tuple[str, ...] = option(
        (),
        "Further settings of the network as key=value, such as conv_dim=4.",
        label="Network arguments",
        saved_as="ss_network_args",
    )
    network_weights: str | None = option(
        None, "Start from the weights of this file.", label="Start from a LoRA", path="file"
    )
    dim_from_weights: bool = option(
        False, "Take rank and alpha of every layer from --network_weights.", label="Ranks of that LoRA"
    )
    network_train_unet_only: bool = option(False, "Leave the text encoder as it is.", label="U-Net only", level="basic")
    network_train_text_encoder_only: bool = option(False, "Leave the U-Net as it is.", label="Text encoder only")
    scale_weight_norms: float | None = option(
        None,
        "Keep the norm of every layer's update at or below this; 1 is usual.",
        label="Largest weight norm",
        minimum=0,
        saved_as="ss_scale_weight_norms",
    )
    base_weights: tuple[str, ...] = option(
        (), "LoRA files merged into the base model before training.", label="LoRAs merged in first", path="file"
    )
    base_weights_multiplier: tuple[float, ...] = option(
        (), "Strength of each of --base_weights; missing ones are 1.", label="Strengths of merged LoRAs"
    )

    rules: ClassVar[tuple[Requires | Conflicts | Refuses, ...]] = (
        Requires("dim_from_weights", "network_weights", because="the ranks are read from that file"),
        Requires("base_weights_multiplier", "base_weights", because="each number belongs to one of its files"),
        Conflicts("network_train_unet_only", "network_train_text_encoder_only", because="nothing would be trained"),
        Requires(
            "cache_text_encoder_outputs",
            "network_train_unet_only",
            because="cached outputs carry no gradient to the text encoder",
        ),
    )
