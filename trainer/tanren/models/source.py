"""A base model before it is built: which file or folder, what it is, and its weights under our names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..formats.checkpoint_kind import CheckpointKind
from .configs import Config
from .tensor_files import TensorFile


@dataclass(frozen=True)
class Component:
    """One part of a model: what it is built from.

    Args:
        title: for messages: "U-Net", "VAE", "text encoder".
        config: arguments of its class.
        tensors: weights by our names (diffusers'; for text encoders Hugging Face's without `text_model.`).
        file: where they come from.
        unknown: names in the file that no place in the model answers to.
    """

    title: str
    config: Config
    tensors: Mapping[str, Tensor]
    file: TensorFile
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A checkpoint taken apart; a part that is not in it is None.

    Args:
        text_encoders: one place for each that the family has, in its order; empty when the family is not known here.
    """

    path: Path
    kind: CheckpointKind
    unet: Component | None
    vae: Component | None
    text_encoders: tuple[Component | None, ...] = ()
