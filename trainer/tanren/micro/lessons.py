"""Picture folders that teach a micro model something new, laid out as kohya's trainers read them.

`write_lesson` makes two folders: `train/20_sks` with a shape the model has never seen, captioned with a trigger word,
and `regularization/1_shape` with shapes it knows, so that the new word does not leak into the old ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .drawing import render
from .world import BACKGROUNDS, COLORS, Scene, Words, known_words, prompt, spread

TRIGGER = "sks"
# The colours the new shape is shown in; in the other four it is never seen.
SHOWN_COLORS = ("red", "blue", "yellow", "green")
REPEATS = 20
# The new shape keeps to the middle half of the room: sixteen pictures do not show it everywhere.
REACH = 0.5


@dataclass(frozen=True)
class Lesson:
    """Folders for --train_data_dir and --reg_data_dir."""

    train_dir: Path
    regularization_dir: Path


def write_lesson(
    folder: Path,
    shape: str = "moon",
    regularization_count: int = 320,
    size_wh: tuple[int, int] = (64, 64),
    seed: int = 11,
) -> Lesson:
    """Sixteen captioned pictures of a new shape, and captioned pictures of the known ones."""
    rng = np.random.default_rng(seed)
    shown = [Words(shape, color, background) for background in BACKGROUNDS for color in SHOWN_COLORS]
    known = spread([words for words in known_words() if not words.is_held_out], regularization_count, seed + 1)
    lesson = Lesson(folder / "train", folder / "regularization")
    write_pictures(lesson.train_dir / f"{REPEATS}_{TRIGGER}", shown, size_wh, rng, shape_word=TRIGGER, reach=REACH)
    write_pictures(lesson.regularization_dir / "1_shape", known, size_wh, rng)
    return lesson


def write_pictures(
    folder: Path,
    pictured: Sequence[Words],
    size_wh: tuple[int, int],
    rng: np.random.Generator,
    shape_word: str | None = None,
    reach: float = 1.0,
) -> None:
    """One PNG and one .txt caption per entry; the shape is anywhere in the picture, or in the middle `reach` of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, words in enumerate(pictured):
        scene = Scene(words, x=rng.uniform(-reach, reach), y=rng.uniform(-reach, reach))
        Image.fromarray(render(scene, size_wh, rng)).save(folder / f"{number:03}.png")
        (folder / f"{number:03}.txt").write_text(prompt(words, shape_word) + "\n", encoding="utf-8")


def new_words(shape: str = "moon") -> list[Words]:
    """Every colour and background for the new shape, most of them never shown with it."""
    return [Words(shape, color, background) for color in COLORS for background in BACKGROUNDS]
