"""Canny's edges, as OpenCV finds them with its 3x3 filters: ControlNets were trained on those, thresholds and all.

Source: Canny 1986, "A computational approach to edge detection"; the numbers (Sobel filters, sum of absolute values,
sectors of 22.5 degrees in fixed point, which neighbour wins a tie) are those of OpenCV 4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
# tan(22.5 degrees) in 15 binary places.
TANGENT, PLACES = 13573, 15


def canny(pixels: Pixels, low: float, high: float) -> Pixels:
    """White edges on black.

    Args:
        pixels: (H, W) or (H, W, 3); of several channels the one with the strongest slope counts, pixel by pixel.
        low, high: slopes above `high` begin an edge, those above `low` continue one; 100 and 200 are common.

    Returns:
        (H, W), 0 or 255.
    """
    low, high = sorted((int(np.floor(low)), int(np.floor(high))))
    across, down = _slopes(pixels if pixels.ndim == 3 else pixels[:, :, None])
    strength = np.abs(across) + np.abs(down)
    ridge = _is_ridge(across, down, strength) & (strength > low)
    return _connected(ridge & (strength > high), ridge).astype(np.uint8) * np.uint8(255)


def _slopes(pixels: Pixels) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Horizontal and vertical slope, each (H, W), of the channel in which they are strongest."""
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge").astype(np.int32)
    smooth_rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    smooth_columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    across = smooth_rows[:, 2:] - smooth_rows[:, :-2]
    down = smooth_columns[2:] - smooth_columns[:-2]
    strongest = np.argmax(np.abs(across) + np.abs(down), axis=2)[:, :, None]
    return np.take_along_axis(across, strongest, 2)[:, :, 0], np.take_along_axis(down, strongest, 2)[:, :, 0]


def _is_ridge(across: NDArray[np.int32], down: NDArray[np.int32], strength: NDArray[np.int32]) -> NDArray[np.bool_]:
    """True where a pixel is stronger than its two neighbours in the direction of the slope."""
    around = np.pad(strength, 1)
    height, width = strength.shape

    def neighbour(row: int, column: int) -> NDArray[np.int32]:
        return around[1 + row : 1 + row + height, 1 + column : 1 + column + width]

    steepness = np.abs(down).astype(np.int64) << PLACES
    flat = np.abs(across).astype(np.int64) * TANGENT
    steep = flat + (np.abs(across).astype(np.int64) << (PLACES + 1))
    is_level, is_upright = steepness < flat, steepness > steep
    rises = (across ^ down) >= 0
    level = (strength > neighbour(0, -1)) & (strength >= neighbour(0, 1))
    upright = (strength > neighbour(-1, 0)) & (strength >= neighbour(1, 0))
    falling = (strength > neighbour(-1, -1)) & (strength > neighbour(1, 1))
    rising = (strength > neighbour(-1, 1)) & (strength > neighbour(1, -1))
    return np.where(is_level, level, np.where(is_upright, upright, np.where(rises, falling, rising)))


def _connected(seeds: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What can be reached from the seeds through allowed pixels, corners included."""
    rest = np.pad(allowed & ~seeds, 1)
    found = np.pad(seeds, 1)
    width = rest.shape[1]
    steps = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    open_places, reached = rest.reshape(-1), found.reshape(-1)
    front = np.flatnonzero(reached)
    while front.size:
        near = (front[:, None] + steps).reshape(-1)
        front = np.unique(near[open_places[near]])
        open_places[front] = False
        reached[front] = True
    return found[1:-1, 1:-1]
