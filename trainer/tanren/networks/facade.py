"""A model as third-party network modules expect to find it.

Such modules look for containers by class name, hook the forward of the leaves inside, and name their tensors after the
path. So we show them a tree that holds the live leaves (the same objects) under the paths of kohya's files, and nothing
else: names come out right whatever diffusers or transformers call things, and layers that kohya's files never contain
(time embedding, first and last convolution) are not offered.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

UNET_CONTAINERS = frozenset({"Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"})
TEXT_CONTAINERS = frozenset({"CLIPAttention", "CLIPSdpaAttention", "CLIPMLP"})
LEAVES = (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm)


class Branch(nn.Module):
    """A node that has no meaning of its own."""


class Facade(nn.Module):
    """Root of the shown tree; answers what modules ask a whole model."""

    @property
    def device(self) -> torch.device:
        """Where the live leaves are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the live leaves."""
        return next(self.parameters()).dtype

    def enable_gradient_checkpointing(self) -> None:
        """The live model is switched by the engine."""


def show_unet(unet: nn.Module, rename: Callable[[str], str]) -> Facade:
    """The U-Net's leaves by kohya's paths.

    Args:
        unet: the live U-Net in diffusers' layout.
        rename: diffusers path -> kohya path, of containers and leaves.
    """
    return _show(unet, UNET_CONTAINERS, rename)


def show_text_encoder(encoder: nn.Module) -> Facade:
    """A CLIP text encoder's leaves below `text_model`, which transformers 5.6 and newer have dropped."""
    has_root = hasattr(encoder, "text_model")
    return _show(encoder, TEXT_CONTAINERS, lambda path: path if has_root else f"text_model.{path}")


def _show(model: nn.Module, containers: frozenset[str], rename: Callable[[str], str]) -> Facade:
    root = Facade()
    for path, module in model.named_modules():
        name = type(module).__name__
        if name not in containers:
            continue
        _place(root, rename(path), type(name, (Branch,), {})())
        for end, leaf in module.named_modules():
            if isinstance(leaf, LEAVES):
                _place(root, rename(f"{path}.{end}"), leaf)
    return root


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    *parents, name = path.split(".")
    node = root
    for parent in parents:
        if parent not in node._modules:
            node.add_module(parent, Branch())
        node = node.get_submodule(parent)
    node.add_module(name, module)
