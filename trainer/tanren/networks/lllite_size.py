"""Which layers a ControlNet-LLLite steers, how deep each sees the control picture, and how many numbers that takes.

Steered are query, key and value of self-attention and the query of cross-attention, in the blocks that go down and in
the middle; the blocks that go up are left alone. A layer's depth is how often the model has halved the picture there:
the control picture is brought to 1/8 (depth 1), 1/16 (2) or 1/32 (3) of its sides.

Layers are recognised by the ends of their names, in ldm files and diffusers folders alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .lora_size import LoraSize

Shapes = Mapping[str, Sequence[int]]
STEERED = r"transformer_blocks[._]\d+[._](?:attn1[._]to_[qkv]|attn2[._]to_q)"
GOING_DOWN = r"(input_blocks|down_blocks)[._](\d+)[._](?:attentions[._])?\d+"
MIDDLE = r"middle_block[._]\d+|mid_block[._]attentions[._]\d+"
LAYER = re.compile(rf"(?:^|[._])(?:{GOING_DOWN}|{MIDDLE})[._]{STEERED}(?:\.weight)?$")
DEEPEST = 3
DOWN, WIDE_STEP = "down.0.weight", 4
# (depth, width, layers) of the full-size model.
LAYERS_OF_SDXL = ((2, 640, 16), (3, 1280, 120))


def depth_of(name: str) -> int | None:
    """Depth of a layer by its name in files, 1 to 3; None for layers that are not steered.

    Args:
        name: with dots or underscores, as ldm or diffusers have it.
    """
    found = LAYER.search(name)
    if found is None:
        return None
    kind, number = found[1], int(found[2] or 0)
    if kind is None:
        return DEEPEST
    if kind == "down_blocks":
        return min(number + 1, DEEPEST)
    return min(number // DEEPEST + 1, DEEPEST)


def sizes_of(shapes: Shapes) -> tuple[int, int, int] | None:
    """Depth, `--cond_emb_dim` and `--network_dim` of a layer by its tensors, as readers of files tell them.

    Args:
        shapes: of the layer's tensors, named without the layer.

    Returns:
        None for tensors of something else.
    """
    first, second, down = (shapes.get(name) for name in ("conditioning1.0.weight", "conditioning1.2.weight", DOWN))
    if first is None or second is None or down is None or [len(first), len(second), len(down)] != [4, 4, 2]:
        return None
    depth = DEEPEST if "conditioning1.4.weight" in shapes else 2 if second[-1] == WIDE_STEP else 1
    return depth, 2 * first[0], down[0]


def conditioning_shapes(depth: int, channels: int) -> list[tuple[int, int, int]]:
    """(out, in, side) of the convolutions that bring the control picture to a depth; each steps by its own side."""
    half = channels // 2
    if depth == 1:
        return [(half, 3, 4), (channels, half, 2)]
    if depth == 2:
        return [(half, 3, 4), (channels, half, 4)]
    return [(half, 3, 4), (half, half, 4), (channels, half, 2)]


def numbers_of(depth: int, width: int, channels: int, dim: int) -> int:
    """Numbers of one layer's control: convolutions, down, mid and up, with their biases.

    Args:
        width: of the steered layer's input.
        channels: `--cond_emb_dim`.
        dim: `--network_dim`.
    """
    convolutions = sum(out * (each * side * side + 1) for out, each, side in conditioning_shapes(depth, channels))
    return convolutions + dim * (width + 1) + dim * (dim + channels + 1) + width * (dim + 1)


def numbers_for_sdxl(channels: int, dim: int) -> int:
    """Numbers of a ControlNet-LLLite for the full-size SDXL."""
    return sum(count * numbers_of(depth, width, channels, dim) for depth, width, count in LAYERS_OF_SDXL)


def lllite_size(shapes: Shapes, channels: int, dim: int) -> LoraSize:
    """Layers and numbers of a ControlNet-LLLite for a model with these tensors."""
    depths = {name: depth_of(name) for name, shape in shapes.items() if len(shape) == 2}
    numbers = [numbers_of(depth, shapes[name][1], channels, dim) for name, depth in depths.items() if depth is not None]
    return LoraSize(len(numbers), 0, sum(numbers))
