"""Picture sets for training, drawn from a seed and kept in memory."""

import numpy as np
import torch
from tanren.micro.drawing import Pixels, render, render_busy
from tanren.micro.world import Scene, draw_scene
from torch import Tensor


def draw_world(count: int, size_wh: tuple[int, int], seed: int) -> tuple[list[Scene], Tensor]:
    """Scenes and their pictures, (count, 3, height, width) of bytes."""
    rng = np.random.default_rng(seed)
    scenes = [draw_scene(rng) for _ in range(count)]
    return scenes, as_bytes([render(scene, size_wh, rng) for scene in scenes])


def draw_busy(count: int, size_wh: tuple[int, int], seed: int) -> Tensor:
    """Busy pictures without scenes, (count, 3, height, width) of bytes."""
    rng = np.random.default_rng(seed)
    return as_bytes([render_busy(size_wh, rng) for _ in range(count)])


def as_bytes(pictures: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def to_pixels(picture_bytes: Tensor) -> Tensor:
    """Bytes to -1..1."""
    return picture_bytes.float() / 127.5 - 1


def to_pictures(pixels: Tensor) -> list[Pixels]:
    """-1..1 (B, 3, H, W) to a list of (H, W, 3) bytes."""
    return list(((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
