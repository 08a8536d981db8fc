"""Frozen weights kept as float8, half the memory of half precision: e4m3fn, 4 bits of exponent, 3 of mantissa, to 448.

They are numbers to keep, not to compute with: each layer casts its own weight to the compute dtype when it is called,
and once more in the backward pass, so that never more than one layer's copy exists.

Kept so are the matrices and kernels of the U-Net's blocks and of the text encoders' layers, which are nearly all of a
model. Norms and biases are small and take part in every number; token tables are looked up, not multiplied; the first
and last convolution and the embeddings of time and size reach the whole picture. All of these stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import MethodType

from torch import Tensor, nn

from .frozen import STORED, FrozenConv2d, FrozenLinear, compute_dtype

UNET_BLOCKS = ("down_blocks.", "mid_block.", "up_blocks.")
TEXT_LAYERS = "encoder.layers."
# Whether a weight is kept in 8 bits, by its name and shape.
Choice = Callable[[str, tuple[int, ...]], bool]


def of_unet(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a weight of diffusers' U-Net is kept in 8 bits."""
    return name.startswith(UNET_BLOCKS) and len(shape) > 1


def of_text_encoder(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a weight of a CLIP text encoder is kept in 8 bits."""
    return TEXT_LAYERS in name and len(shape) > 1


def shrink(model: nn.Module, is_chosen: Choice) -> None:
    """Round the chosen weights of a loaded model, one after the other, and let its layers read them.

    Args:
        is_chosen: `of_unet` or `of_text_encoder`, by name and shape; what is in 8 bits already stays as it is.
    """
    for name, parameter in model.named_parameters():
        if is_chosen(name, tuple(parameter.shape)):
            parameter.data = parameter.detach().to(STORED)
    teach_layers(model)


def teach_layers(model: nn.Module) -> None:
    """Give every Linear and Conv2d whose weight is in 8 bits a forward that can read it, in place."""
    for layer in _layers_in_eight_bits(model):
        forward = linear_forward if isinstance(layer, nn.Linear) else conv_forward
        layer.__dict__["forward"] = MethodType(forward, layer)


def is_own_forward(layer: nn.Module) -> bool:
    """True when a layer's forward is its class's, or the one that `teach_layers` gave it."""
    forward = layer.__dict__.get("forward")
    return forward is None or getattr(forward, "__func__", None) in (linear_forward, conv_forward)


def _layers_in_eight_bits(model: nn.Module) -> Iterator[nn.Module]:
    for layer in model.modules():
        weight = layer._parameters.get("weight")
        if weight is not None and weight.dtype is STORED:
            assert isinstance(layer, nn.Linear | nn.Conv2d), f"{type(layer).__name__} cannot read 8 bits"
            yield layer


def linear_forward(self: nn.Linear, x: Tensor) -> Tensor:
    """(..., in) -> (..., out) in the compute dtype."""
    return FrozenLinear.apply(x, self.weight, self.bias)


def conv_forward(self: nn.Conv2d, x: Tensor) -> Tensor:
    """(B, in, H, W) -> (B, out, H', W') in the compute dtype."""
    if self.padding_mode != "zeros" or isinstance(self.padding, str):
        return self._conv_forward(x, self.weight.to(compute_dtype(x, self.weight)), self.bias)
    return FrozenConv2d.apply(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
