from pathlib import Path

import numpy as np
from PIL import Image
from tanren.micro.judge import judge
from tanren.micro.lessons import new_words, write_lesson


def read(picture: Path) -> tuple[np.ndarray, str]:
    return np.asarray(Image.open(picture)), picture.with_suffix(".txt").read_text(encoding="utf-8").strip()


def test_a_lesson_shows_sixteen_moons_under_the_trigger_word(tmp_path: Path):
    lesson = write_lesson(tmp_path)
    pictures = sorted((lesson.train_dir / "20_sks").glob("*.png"))

    assert len(pictures) == 16
    caption = read(pictures[0])[1]
    assert caption == "a red sks on a white background"
    assert all(judge(read(picture)[0]).shape == "moon" for picture in pictures)


def test_a_lesson_brings_known_shapes_for_regularization(tmp_path: Path):
    lesson = write_lesson(tmp_path, regularization_count=24)
    pictures = sorted((lesson.regularization_dir / "1_shape").glob("*.png"))

    assert len(pictures) == 24
    for picture in pictures:
        pixels, caption = read(picture)
        verdict = judge(pixels)
        assert verdict.shape in caption and verdict.color in caption and verdict.background in caption


def test_pictures_have_the_size_asked_for(tmp_path: Path):
    lesson = write_lesson(tmp_path, size_wh=(96, 64), regularization_count=1)

    assert Image.open(lesson.train_dir / "20_sks" / "000.png").size == (96, 64)


def test_the_same_seed_writes_the_same_files(tmp_path: Path):
    first, second = (write_lesson(tmp_path / name, regularization_count=2) for name in ("a", "b"))

    for picture in sorted(first.train_dir.rglob("*.*")):
        assert picture.read_bytes() == (second.train_dir / picture.relative_to(first.train_dir)).read_bytes()


def test_new_words_are_32_and_half_of_their_colors_are_never_shown():
    assert len(new_words()) == 32
    assert {words.shape for words in new_words()} == {"moon"}
