"""What is special about ControlNet-LLLite: pictures come with control pictures, and the network is one of its own.

Both groups stand in for the ones that other networks have: the same names, some with another meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .dataset import DatasetOptions
from .network import NetworkOptions
from .spec import Conflicts, Refuses, Requires, option

ITS_OWN_NETWORK = "ControlNet-LLLite is a network of its own, without ranks and alphas."
UNET_ONLY = "ControlNet-LLLite changes the U-Net only."
PAIRS_ONLY = "ControlNet-LLLite learns from pictures that have a control picture."


@dataclass(frozen=True, kw_only=True)
class ControlDatasetOptions(DatasetOptions):
    """Where the pictures are and what is made of them."""

    reads_controls: ClassVar[bool] = True

    train_data_dir: str | None = option(
        None,
        "Folder of the pictures themselves; there are no <repeats>_<name> folders.",
        label="Folder of the pictures",
        level="basic",
        path="folder",
    )
    conditioning_data_dir: str | None = option(
        None,
        "Folder of the control pictures: for every picture one of the same name and size.",
        label="Folder of control pictures",
        level="basic",
        path="folder",
    )
    dataset_repeats: int = option(1, "Repeats of every picture.", label="Repeats of every picture", minimum=1)
    reg_data_dir: str | None = option(
        None,
        "Parent of the <repeats>_<class> folders with regularization pictures.",
        label="Parent of regularization folders",
        path="folder",
        no_effect=PAIRS_ONLY,
    )
    in_json: str | None = option(
        None,
        "Metadata file (.json or .jsonl) with captions and tags by picture.",
        label="Metadata file",
        path="file",
        no_effect=PAIRS_ONLY,
    )
    masked_loss: bool = option(
        False,
        "Weigh the loss by the mask pictures named in the dataset file.",
        label="Masked loss",
        no_effect=PAIRS_ONLY,
    )
    alpha_mask: bool = option(
        False,
        "Use the pictures' alpha channel as mask of the loss.",
        label="Alpha channel as mask",
        no_effect=PAIRS_ONLY,
    )
    prior_loss_weight: float = option(
        1.0,
        "Weight of the loss of regularization pictures.",
        label="Weight of regularization",
        minimum=0,
        no_effect=PAIRS_ONLY,
    )


@dataclass(frozen=True, kw_only=True)
class LlliteOptions(NetworkOptions):
    """The small network trained on top of the frozen model."""

    cond_emb_dim: int | None = option(
        None,
        "Channels that the control picture is encoded to, an even number; 32 is usual.",
        label="Control channels",
        minimum=2,
        level="basic",
        saved_as="ss_cond_emb_dim",
    )
    network_dim: int | None = option(
        None,
        "Width of the layers that bring the control into the model; 64 is usual.",
        label="Network width (dim)",
        minimum=1,
        level="basic",
        saved_as="ss_network_dim",
    )
    network_dropout: float | None = option(
        None,
        "Probability of dropping each number of those layers.",
        label="Network dropout",
        minimum=0,
        maximum=1,
        saved_as="ss_network_dropout",
    )
    network_weights: str | None = option(
        None, "Start from the weights of this file.", label="Start from a control network", path="file"
    )
    network_module: str | None = option(
        None,
        "Kind of network: networks.lora, or a module of another package such as lycoris.kohya.",
        label="Kind of network",
        no_effect=ITS_OWN_NETWORK,
    )
    network_alpha: float = option(
        1.0,
        "The update is scaled by alpha / rank; 0 means alpha equals rank.",
        label="Network alpha",
        minimum=0,
        no_effect=ITS_OWN_NETWORK,
    )
    network_args: tuple[str, ...] = option(
        (),
        "Further settings of the network as key=value, such as conv_dim=4.",
        label="Network arguments",
        no_effect=ITS_OWN_NETWORK,
    )
    dim_from_weights: bool = option(
        False,
        "Take rank and alpha of every layer from --network_weights.",
        label="Ranks of that LoRA",
        no_effect=ITS_OWN_NETWORK,
    )
    scale_weight_norms: float | None = option(
        None,
        "Keep the norm of every layer's update at or below this; 1 is usual.",
        label="Largest weight norm",
        minimum=0,
        no_effect=ITS_OWN_NETWORK,
    )
    base_weights: tuple[str, ...] = option(
        (),
        "LoRA files merged into the base model before training.",
        label="LoRAs merged in first",
        path="file",
        no_effect="ControlNet-LLLite learns on the base model as it is.",
    )
    base_weights_multiplier: tuple[float, ...] = option(
        (),
        "Strength of each of --base_weights; missing ones are 1.",
        label="Strengths of merged LoRAs",
        no_effect="ControlNet-LLLite learns on the base model as it is.",
    )
    network_train_unet_only: bool = option(
        False, "Leave the text encoder as it is.", label="U-Net only", no_effect=UNET_ONLY
    )

    rules: ClassVar[tuple[Requires | Conflicts | Refuses, ...]] = (
        Refuses("network_train_text_encoder_only", because="ControlNet-LLLite changes the U-Net only"),
        Refuses("text_encoder_lr", because="ControlNet-LLLite changes the U-Net only", warns=True),
        Refuses("v2", because="it is for Stable Diffusion 2, and this command trains SDXL"),
        Refuses("clip_skip", because="SDXL always takes the layer before the last", warns=True),
    )
