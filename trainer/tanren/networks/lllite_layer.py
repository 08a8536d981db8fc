"""One layer that a control picture steers.

    y = W (x + s · up(relu(mid([c, relu(down(x))])))) + b,   c = conditioning1(control picture)

The input of the frozen layer is moved, not its output. `c` stands in front of `x` in `mid`; every token of x meets the
cell of the control picture at its place.

Source: the layer of ControlNet-LLLite as its files and readers have it; no paper describes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.draws import draw_seed
from .lllite_size import conditioning_shapes

LATENT_CELL = 8


@dataclass
class Control:
    """What steers the model now, shared by all layers.

    Args:
        picture: (B, 3, H, W) in -1..1, H and W those of the picture that is made; None: nothing steers.
        multiplier: strength.
    """

    picture: Tensor | None = None
    multiplier: float = 1.0
    _encoded: dict[int, Tensor] = field(default_factory=dict)

    def show(self, picture: Tensor | None) -> None:
        """Steer by this picture from now on."""
        self.picture, self._encoded = picture, {}

    def encoded(self, layer: LlliteLayer, dtype: torch.dtype) -> Tensor:
        """(B, E, h, w) of a layer; kept while pictures are drawn, when the same is asked for at every step."""
        assert self.picture is not None
        if self.picture.dtype is not dtype:
            self.show(self.picture.to(dtype))
        if torch.is_grad_enabled():
            return layer.encode(self.picture)
        if id(layer) not in self._encoded:
            self._encoded[id(layer)] = layer.encode(self.picture)
        return self._encoded[id(layer)]


class LlliteLayer(nn.Module):
    """Changes the forward of one live Linear in place.

    Args:
        leaf: the live layer.
        control: what steers it.
        depth: 1 to 3, see `lllite_size`.
        channels, dim: `--cond_emb_dim` and `--network_dim`.
        dropout: probability of dropping each number of mid's output, in training mode.
        seed: of its start. `up` starts at zero, its bias too, so that training begins at the base model.
    """

    def __init__(
        self, leaf: nn.Module, control: Control, depth: int, channels: int, dim: int, dropout: float, seed: int
    ) -> None:
        super().__init__()
        # In a list, so that the frozen layer is no part of this module.
        self._leaf, self.control = [leaf], control
        self.depth, self.dropout = depth, dropout
        width = leaf.get_parameter("weight").shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conditioning1 = _conditioning(depth, channels)
            self.down = nn.Sequential(nn.Linear(width, dim), nn.ReLU())
            self.mid = nn.Sequential(nn.Linear(dim + channels, dim), nn.ReLU())
            self.up = nn.Sequential(nn.Linear(dim, width))
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)
        self._plain_forward = leaf.forward
        leaf.__dict__["forward"] = self.forward

    def remove(self) -> None:
        """Give the live layer its own forward back."""
        leaf = self._leaf[0]
        leaf.__dict__.pop("forward", None)
        if self._plain_forward != leaf.forward:
            leaf.__dict__["forward"] = self._plain_forward

    def forward(self, x: Tensor) -> Tensor:
        """What the live layer answers now; (B, tokens, width) as before."""
        control = self.control
        if control.picture is None or control.multiplier == 0:
            return self._plain_forward(x)
        return self._plain_forward(x + control.multiplier * self.change(x))

    def change(self, x: Tensor) -> Tensor:
        """What is added to x at full strength; computed in its dtype, whatever the weights have."""
        encoded = self._on_grid(self.control.encoded(self, x.dtype), x.shape[1])
        tokens = encoded.flatten(2).transpose(1, 2)
        # Guidance predicts with and without the prompt at once, both steered by the same pictures.
        tokens = tokens.repeat(x.shape[0] // tokens.shape[0], 1, 1)
        seen = F.relu(_linear(self.down, x))
        mixed = F.relu(_linear(self.mid, torch.cat([tokens, seen], dim=-1)))
        if self.training and self.dropout:
            mixed = F.dropout(mixed, self.dropout)
        return _linear(self.up, mixed)

    def encode(self, picture: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, E, h, w), in the picture's dtype."""
        for part in self.conditioning1:
            if isinstance(part, nn.Conv2d):
                weight, bias = part.weight.to(picture.dtype), _cast(part.bias, picture.dtype)
                picture = F.conv2d(picture, weight, bias, stride=part.stride)
            else:
                picture = F.relu(picture)
        return picture

    def _on_grid(self, encoded: Tensor, tokens: int) -> Tensor:
        """Fitted to the model's cells, which are rounded up where a side is not a multiple of 32 pixels."""
        if encoded.shape[2] * encoded.shape[3] == tokens:
            return encoded
        assert self.control.picture is not None
        height, width = (side // LATENT_CELL for side in self.control.picture.shape[2:])
        for _ in range(self.depth - 1):
            height, width = (height + 1) // 2, (width + 1) // 2
        return F.interpolate(encoded, size=(height, width), mode="nearest-exact")


def start_seed(seed: int, key: str) -> int:
    """Seed of a layer's start: it depends on the run's seed and on the layer's name alone."""
    return draw_seed(seed, "network", key)


def _conditioning(depth: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for out, each, side in conditioning_shapes(depth, channels):
        layers += [nn.Conv2d(each, out, side, stride=side), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _linear(part: nn.Sequential, x: Tensor) -> Tensor:
    layer = part[0]
    assert isinstance(layer, nn.Linear)
    return F.linear(x, layer.weight.to(x.dtype), _cast(layer.bias, x.dtype))


def _cast(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype)
