"""Scenes as pixels, in plain numpy: the same picture on every machine, no drawing library needed."""

import numpy as np
from numpy.typing import NDArray

from .world import BACKGROUNDS, COLORS, NEW_SHAPES, RADII, RGB, SHAPES, Scene

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Each pixel is the mean of 3x3 inside-tests, which smooths the edges.
SAMPLES_PER_PIXEL = 3


def is_inside(shape: str, u: Plane, v: Plane) -> Mask:
    """Where points lie inside a shape around the origin.

    Args:
        u, v: same shape each; right and down, in units of the shape's radius.
    """
    if shape == "circle":
        return u * u + v * v < 0.92**2
    if shape == "square":
        return np.maximum(abs(u), abs(v)) < 0.82
    if shape == "triangle":
        return is_inside_polygon(u, v, [(0.0, -0.98), (0.98, 0.78), (-0.98, 0.78)])
    if shape == "star":
        return is_inside_polygon(u, v, star_corners(points=5, inner_radius=0.45))
    if shape == "heart":
        # The sextic heart curve (a^2 + b^2 - 1)^3 = a^2 b^3, scaled and moved to fill the unit circle.
        a, b = 1.22 * u, 0.12 - 1.22 * v
        return (a * a + b * b - 1) ** 3 < a * a * b**3
    if shape == "cross":
        arm, length = 0.32, 0.95
        return ((abs(u) < arm) & (abs(v) < length)) | ((abs(v) < arm) & (abs(u) < length))
    if shape == "ring":
        return (u * u + v * v < 0.95**2) & (u * u + v * v > 0.55**2)
    if shape == "moon":
        return (u * u + v * v < 0.95**2) & ((u - 0.42) ** 2 + (v + 0.05) ** 2 > 0.75**2)
    if shape == "diamond":
        return abs(u) / 0.7 + abs(v) < 1
    raise ValueError(f"{shape!r} is not a shape of this world.")


def is_inside_polygon(u: Plane, v: Plane, corners: list[tuple[float, float]]) -> Mask:
    """Even-odd rule: inside when a ray to the right crosses an odd number of edges."""
    inside = np.zeros(u.shape, dtype=bool)
    for (u0, v0), (u1, v1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if v0 == v1:
            continue
        spans = (v0 > v) != (v1 > v)
        inside ^= spans & (u < u0 + (u1 - u0) * (v - v0) / (v1 - v0))
    return inside


def star_corners(points: int, inner_radius: float) -> list[tuple[float, float]]:
    """Corners of a star with its tips on the unit circle, one tip up."""
    angles = -np.pi / 2 + np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2 == 0, 1.0, inner_radius)
    return [(float(r * np.cos(a)), float(r * np.sin(a))) for r, a in zip(radii, angles, strict=True)]


def coverage(
    shape: str, size_wh: tuple[int, int], center: tuple[float, float], radius: float, rotation: float
) -> NDArray[np.float32]:
    """How much of each pixel the shape covers.

    Args:
        center: x and y in pixels; radius in pixels; rotation in radians.

    Returns:
        (height, width, 1), 0 to 1.
    """
    width, height = size_wh
    x = ((np.arange(width * SAMPLES_PER_PIXEL) + 0.5) / SAMPLES_PER_PIXEL - center[0]) / radius
    y = ((np.arange(height * SAMPLES_PER_PIXEL) + 0.5) / SAMPLES_PER_PIXEL - center[1]) / radius
    u, v = np.meshgrid(x, y)
    cos, sin = np.cos(rotation), np.sin(rotation)
    inside = is_inside(shape, cos * u + sin * v, cos * v - sin * u)
    cells = inside.reshape(height, SAMPLES_PER_PIXEL, width, SAMPLES_PER_PIXEL)
    return cells.mean(axis=(1, 3), dtype=np.float32)[..., None]


def render(scene: Scene, size_wh: tuple[int, int], rng: np.random.Generator, radius_of: int | None = None) -> Pixels:
    """The scene as (height, width, 3); the generator decides the exact radius and shades.

    Args:
        radius_of: the side that the radius is a share of; not given: the shorter one.
    """
    width, height = size_wh
    words = scene.words
    low, high = RADII[words.size]
    radius = rng.uniform(low, high) * (radius_of or min(width, height))
    center = (
        width / 2 + scene.x * max(width / 2 - radius - 1, 0),
        height / 2 + scene.y * max(height / 2 - radius - 1, 0),
    )
    covered = coverage(words.shape, size_wh, center, radius, scene.rotation)
    ground = _shade(BACKGROUNDS[words.background], 5, rng)
    paint = _shade(COLORS[words.color], 9, rng)
    return _to_pixels(ground * (1 - covered) + paint * covered)


def render_busy(size_wh: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Several shapes, new ones too, in any colours on plain or shaded ground.

    No caption goes with it: it teaches the autoencoder to keep what the diffusion model has not seen yet.
    """
    width, height = size_wh
    ground = rng.uniform(0, 255, 3)
    picture = np.broadcast_to(ground, (height, width, 3)).astype(np.float64)
    if rng.random() < 0.4:
        across, down = rng.uniform(-200, 200, (2, 3))
        picture = picture + across * np.linspace(0, 1, width)[None, :, None]
        picture = picture + down * np.linspace(0, 1, height)[:, None, None]
    for _ in range(rng.integers(1, 5)):
        covered = coverage(
            str(rng.choice(SHAPES + NEW_SHAPES)),
            size_wh,
            center=(rng.uniform(0, width), rng.uniform(0, height)),
            radius=rng.uniform(0.08, 0.45) * min(size_wh),
            rotation=rng.uniform(-np.pi, np.pi),
        )
        picture = picture * (1 - covered) + rng.uniform(0, 255, 3) * covered
    return _to_pixels(picture)


def _shade(rgb: RGB, deviation: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.clip(np.array(rgb) + rng.normal(0, deviation, 3), 0, 255)


def _to_pixels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(values, 0, 255).round().astype(np.uint8)
