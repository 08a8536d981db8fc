"""One layer that a control picture steers.

    y = W (x + s · up(relu(mid([c, relu(down(x))])))) + b,   c = conditioning1(control picture)

The input of the frozen layer is moved, not its output. `c` stands in front of `x` in `mid`; every token of x meets the
cell of the control picture at its place.

The convolutions of `conditioning1` step by their own side, so that each is a matrix on patches. Computed in this way
they take two thirds of the time on a CPU, and the patches of the control picture itself are cut once for all layers.

Source: the layer of ControlNet-LLLite as its files and readers have it; no paper describes it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.draws import draw_seed
from .lllite_size import conditioning_shapes

LATENT_CELL, FIRST_SIDE = 8, 4


class Control:
    """What steers the model now, shared by all layers."""

    def __init__(self) -> None:
        self.picture: Tensor | None = None
        self.multiplier = 1.0
        self._patches: dict[torch.dtype, Tensor] = {}
        self._encoded: dict[tuple[int, torch.dtype], Tensor] = {}

    def show(self, picture: Tensor | None) -> None:
        """Steer by this picture from now on.

        Args:
            picture: (B, 3, H, W) in -1..1, H and W those of the picture that is made; None: nothing steers.
        """
        self.picture, self._patches, self._encoded = picture, {}, {}

    def encoded(self, layer: LlliteLayer, dtype: torch.dtype) -> Tensor:
        """(B, h, w, E) of a layer; kept while pictures are drawn, when the same is asked for at every step."""
        if torch.is_grad_enabled():
            return layer.encode(self._first_patches(dtype))
        key = id(layer), dtype
        if key not in self._encoded:
            self._encoded[key] = layer.encode(self._first_patches(dtype))
        return self._encoded[key]

    def _first_patches(self, dtype: torch.dtype) -> Tensor:
        if dtype not in self._patches:
            assert self.picture is not None
            self._patches[dtype] = patches_of(self.picture.movedim(1, -1).to(dtype), FIRST_SIDE)
        return self._patches[dtype]


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
        tokens = self._on_grid(self.control.encoded(self, x.dtype), x.shape[1]).flatten(1, 2)
        # Guidance predicts with and without the prompt at once, both steered by the same pictures.
        tokens = tokens.repeat(x.shape[0] // tokens.shape[0], 1, 1)
        seen = F.relu(_affine(self.down[0], x))
        mixed = F.relu(_affine(self.mid[0], torch.cat([tokens, seen], dim=-1)))
        if self.training and self.dropout:
            mixed = F.dropout(mixed, self.dropout)
        return _affine(self.up[0], mixed)

    def encode(self, patches: Tensor) -> Tensor:
        """What `conditioning1` makes of the control picture: (B, h, w, E).

        Args:
            patches: (B, H / 4, W / 4, 3 · 4 · 4) of it, see `patches_of`.
        """
        first, *rest = (layer for layer in self.conditioning1 if isinstance(layer, nn.Conv2d))
        values = _affine(first, patches)
        for layer in rest:
            # The copy is what backward needs; rectifying it where it is keeps no other.
            values = _affine(layer, F.relu(patches_of(values, layer.kernel_size[0]), inplace=True))
        return values

    def _on_grid(self, encoded: Tensor, tokens: int) -> Tensor:
        """Fitted to the model's cells, which are rounded up where a side is not a multiple of 32 pixels."""
        if encoded.shape[1] * encoded.shape[2] == tokens:
            return encoded
        assert self.control.picture is not None
        height, width = (side // LATENT_CELL for side in self.control.picture.shape[2:])
        for _ in range(self.depth - 1):
            height, width = (height + 1) // 2, (width + 1) // 2
        return F.interpolate(encoded.movedim(-1, 1), size=(height, width), mode="nearest-exact").movedim(1, -1)


def patches_of(values: Tensor, side: int) -> Tensor:
    """(B, H, W, C) -> (B, H // side, W // side, C · side · side), a new tensor; what is left at the edges goes."""
    height, width = values.shape[1] // side, values.shape[2] // side
    cut = values[:, : height * side, : width * side]
    parts = cut.unflatten(2, (width, side)).unflatten(1, (height, side))
    return parts.permute(0, 1, 3, 5, 2, 4).flatten(3).contiguous()


def start_seed(seed: int, key: str) -> int:
    """Seed of a layer's start: it depends on the run's seed and on the layer's name alone."""
    return draw_seed(seed, "network", key)


def _conditioning(depth: int, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for out, each, side in conditioning_shapes(depth, channels):
        layers += [nn.Conv2d(each, out, side, stride=side), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _affine(layer: nn.Module, x: Tensor) -> Tensor:
    """A Linear, or a convolution on patches, in the dtype of x."""
    assert isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None
    return F.linear(x, layer.weight.flatten(1).to(x.dtype), layer.bias.to(x.dtype))
