"""Canny's edges against a slow computation of its own, and against what OpenCV gave once."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from tanren.data.edges import canny

# Of `picture_of(seed)` with OpenCV 5.0.0: cv2.Canny(picture, low, high).
FROM_OPENCV = {
    (1, 100, 200): "497eb4b4b3c176f5",
    (2, 50, 100): "c3b9b7cf1ceba50b",
    (3, 20, 40): "2189ccd17e6b4c69",
    (4, 100.7, 30.2): "1af13dc5be61beed",
}


def picture_of(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Smooth random colours with a few sharp shapes, from integers alone."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3)).astype(np.int64)
    rows, columns = np.arange(height), np.arange(width)
    down, across = (rows % 8)[:, None, None], (columns % 8)[None, :, None]
    corners = [small[rows // 8 + r][:, columns // 8 + c] for r in (0, 1) for c in (0, 1)]
    top = corners[0] * (8 - across) + corners[1] * across
    bottom = corners[2] * (8 - across) + corners[3] * across
    picture = ((top * (8 - down) + bottom * down) // 64).astype(np.uint8)
    picture[5:20, 8:30] = rng.integers(0, 256, 3)
    picture[15:33, 25:26] = 255
    return picture


def slow_canny(pixels: np.ndarray, low: int, high: int) -> np.ndarray:
    """The same by loops over pixels, with angles instead of fixed-point tangents."""
    height, width, channels = pixels.shape
    value = pixels.astype(int)

    def at(y, x, c):
        return value[min(max(y, 0), height - 1), min(max(x, 0), width - 1), c]

    slope = np.zeros((height, width, 2), int)
    for y in range(height):
        for x in range(width):
            best = -1
            for c in range(channels):
                dx = sum(w * (at(y + d, x + 1, c) - at(y + d, x - 1, c)) for d, w in ((-1, 1), (0, 2), (1, 1)))
                dy = sum(w * (at(y + 1, x + d, c) - at(y - 1, x + d, c)) for d, w in ((-1, 1), (0, 2), (1, 1)))
                if abs(dx) + abs(dy) > best:
                    best = abs(dx) + abs(dy)
                    slope[y, x] = dx, dy
    strength = np.abs(slope).sum(2)

    def strong(y, x):
        return strength[y, x] if 0 <= y < height and 0 <= x < width else 0

    ridge = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            m, (dx, dy) = strength[y, x], slope[y, x]
            if m <= low:
                continue
            angle = np.degrees(np.arctan2(abs(dy), abs(dx)))
            if angle < 22.5:
                ridge[y, x] = m > strong(y, x - 1) and m >= strong(y, x + 1)
            elif angle > 67.5:
                ridge[y, x] = m > strong(y - 1, x) and m >= strong(y + 1, x)
            else:
                side = -1 if (dx < 0) != (dy < 0) else 1
                ridge[y, x] = m > strong(y - 1, x - side) and m > strong(y + 1, x + side)
    result = np.zeros((height, width), np.uint8)
    todo = [(y, x) for y, x in zip(*np.nonzero(ridge & (strength > high)), strict=True)]
    while todo:
        y, x = todo.pop()
        if 0 <= y < height and 0 <= x < width and ridge[y, x] and not result[y, x]:
            result[y, x] = 255
            todo += [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return result


@pytest.mark.parametrize(("low", "high"), [(10, 30), (60, 120), (100, 200)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_edges_are_those_of_a_slow_computation(seed, low, high):
    assert np.array_equal(canny(picture_of(seed), low, high), slow_canny(picture_of(seed), low, high))


@pytest.mark.parametrize(("key", "digest"), FROM_OPENCV.items())
def test_edges_are_those_of_opencv(key, digest):
    seed, low, high = key

    assert hashlib.sha256(canny(picture_of(seed), low, high).tobytes()).hexdigest()[:16] == digest


def test_thresholds_may_come_in_either_order():
    assert np.array_equal(canny(picture_of(1), 200, 100), canny(picture_of(1), 100, 200))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2, 3)])
def test_tiny_pictures_have_edges_of_their_size(shape):
    assert canny(np.zeros(shape, np.uint8), 100, 200).shape == shape[:2]
