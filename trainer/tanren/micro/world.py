"""What the micro models know: six shapes in eight colours on four backgrounds, and the sentences that describe them.

Words and sizes only; `drawing` turns a scene into pixels and `judge` reads pixels back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]

SHAPES = ("circle", "square", "triangle", "star", "heart", "cross")
# Drawn and judged, yet never shown to the diffusion model: these are what a LoRA teaches it.
NEW_SHAPES = ("moon", "ring", "diamond")

COLORS: dict[str, RGB] = {
    "red": (220, 30, 35),
    "orange": (250, 140, 20),
    "yellow": (245, 225, 40),
    "green": (35, 160, 60),
    "blue": (35, 70, 215),
    "purple": (130, 45, 175),
    "pink": (250, 135, 190),
    "brown": (120, 70, 30),
}
BACKGROUNDS: dict[str, RGB] = {
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "gray": (128, 128, 128),
    "cyan": (120, 220, 235),
}

# Radius as a share of the shorter side. Below 0.22 a shape covers too few latent cells (8 pixels each) to be learned.
RADII: dict[str, tuple[float, float]] = {"small": (0.23, 0.28), "big": (0.40, 0.45), "": (0.25, 0.45)}
# Half the longer side of the drawn mask: small shapes stay below this share of the shorter side, big ones above.
SMALL_BIG_BOUNDARY = 0.305

PICTURE_SIZES_WH = ((64, 64), (96, 64), (64, 96), (96, 96))

# (shape, color, background) never shown in training, so that a right answer to them is not memory.
# Each word is held out a few times, and no pair of words is missing altogether.
HELD_OUT = frozenset(
    {
        ("circle", "red", "cyan"),
        ("circle", "green", "black"),
        ("circle", "pink", "gray"),
        ("square", "orange", "white"),
        ("square", "blue", "gray"),
        ("square", "brown", "cyan"),
        ("square", "purple", "black"),
        ("triangle", "yellow", "black"),
        ("triangle", "purple", "cyan"),
        ("triangle", "red", "gray"),
        ("star", "green", "white"),
        ("star", "brown", "gray"),
        ("star", "blue", "cyan"),
        ("heart", "pink", "black"),
        ("heart", "orange", "gray"),
        ("heart", "yellow", "white"),
        ("heart", "blue", "black"),
        ("cross", "red", "white"),
        ("cross", "purple", "white"),
        ("cross", "green", "cyan"),
    }
)


@dataclass(frozen=True)
class Words:
    """What a picture is asked to show; an empty word leaves that part open."""

    shape: str
    color: str
    background: str
    size: str = ""

    @property
    def is_held_out(self) -> bool:
        """Whether training never shows this combination."""
        return (self.shape, self.color, self.background) in HELD_OUT


@dataclass(frozen=True)
class Scene:
    """One picture to draw.

    Attributes:
        x, y: centre of the shape as a share of the free room, -1 (left, top) to 1 (right, bottom).
        rotation: radians.
    """

    words: Words
    x: float = 0.0
    y: float = 0.0
    rotation: float = 0.0


def draw_scene(rng: np.random.Generator) -> Scene:
    """A random scene of the training world: known shapes, held-out combinations left out."""
    while True:
        words = Words(
            shape=str(rng.choice(SHAPES)),
            color=str(rng.choice(list(COLORS))),
            background=str(rng.choice(list(BACKGROUNDS))),
            size=str(rng.choice(["small", "big", ""], p=[0.3, 0.3, 0.4])),
        )
        if not words.is_held_out:
            break
    return Scene(words, x=rng.uniform(-1, 1), y=rng.uniform(-1, 1), rotation=rng.normal(0, 0.06))


def draw_caption(words: Words, rng: np.random.Generator) -> str:
    """One of the ways to say it. Some captions leave words out, so that each word keeps a meaning of its own."""
    color, shape = words.color, words.shape
    left_out = rng.random()
    if left_out < 0.06:
        color = ""
    elif left_out < 0.12:
        shape = "shape"
    thing = " ".join(word for word in (words.size, color, shape) if word)
    background = f"{words.background} background" if rng.random() < 0.85 else ""

    form = rng.integers(6)
    if form == 5:
        return ", ".join(part for part in (thing, background) if part)
    opening = "a picture of " if form == 4 else "a photo of " if form == 3 else ""
    return opening + with_article(thing) + (f" on a {background}" if background else "")


def prompt(words: Words, shape_word: str | None = None) -> str:
    """The plain sentence for these words; `shape_word` replaces the name of the shape (a LoRA's trigger)."""
    thing = " ".join(word for word in (words.size, words.color, shape_word or words.shape) if word)
    return with_article(thing) + (f" on a {words.background} background" if words.background else "")


def with_article(thing: str) -> str:
    """The thing after "a" or "an"."""
    return ("an " if thing[0] in "aeiou" else "a ") + thing


def known_words() -> list[Words]:
    """All 192 combinations of shape, color and background, held-out ones included."""
    return [Words(shape, color, background) for shape in SHAPES for color in COLORS for background in BACKGROUNDS]


def spread(words: Sequence[Words], count: int, seed: int) -> list[Words]:
    """`count` of the given words in random order, each used equally often before any repeats."""
    rng = np.random.default_rng(seed)
    chosen: list[Words] = []
    while len(chosen) < count:
        chosen.extend(words[place] for place in rng.permutation(len(words)))
    return chosen[:count]
