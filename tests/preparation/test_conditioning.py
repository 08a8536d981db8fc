"""Control pictures and pairs."""

from __future__ import annotations

import hashlib
import sys

import pytest
from PIL import Image, ImageDraw
from story_folder import drawn, with_hole
from tanren.errors import DataError, EnvironmentProblem, UsageError
from tanren.preparation.conditioning import BLUR, CANNY, GREY, LINES, Conditioning, check_pairs, conditioned


def test_edges_are_white_on_black_and_follow_the_thresholds():
    image = Image.new("RGB", (64, 64), (100, 100, 100))
    ImageDraw.Draw(image).rectangle((16, 16, 47, 47), fill=(140, 100, 100))

    edges = conditioned(image, Conditioning(CANNY, 100, 150))

    assert edges.getbbox() == (15, 15, 48, 48) or edges.getbbox() == (16, 16, 48, 48)
    assert {value for _, value in edges.getcolors()} == {0, 255}
    assert conditioned(image, Conditioning(CANNY, 400, 500)).getbbox() is None


@pytest.mark.parametrize("kind", [CANNY, BLUR, GREY, LINES])
def test_every_kind_has_the_size_of_its_picture(kind):
    assert conditioned(with_hole(drawn(2, (320, 320))), Conditioning(kind)).size == (320, 320)
    assert conditioned(Image.new("L", (5, 3)), Conditioning(kind)).size == (5, 3)


def test_lines_are_drawn_white():
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).line((0, 32, 63, 32), fill="black", width=2)

    lines = conditioned(image, Conditioning(LINES, radius=1))

    assert lines.getpixel((32, 32)) > 200
    assert lines.getpixel((32, 5)) == 0


def test_blur_hides_detail():
    image = drawn(4, (128, 128))

    blurred = conditioned(image, Conditioning(BLUR, radius=10))

    assert hashlib.sha256(blurred.tobytes()).digest() != hashlib.sha256(image.tobytes()).digest()
    assert blurred.mode == "RGB"


def test_odd_wishes_are_refused():
    with pytest.raises(UsageError, match="There is no such kind of control picture"):
        conditioned(drawn(1, (8, 8)), Conditioning("depth"))
    with pytest.raises(UsageError, match="A number is out of range"):
        conditioned(drawn(1, (8, 8)), Conditioning(BLUR, radius=1000))


def test_edges_without_numpy_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(EnvironmentProblem, match="Edges are found with numpy"):
        conditioned(drawn(1, (8, 8)), Conditioning(CANNY))


def test_pairs_name_what_is_missing_and_what_is_left_over(tmp_path):
    pictures, others = tmp_path / "a", tmp_path / "b"
    pictures.mkdir()
    others.mkdir()
    for name, size in {"1.png": (64, 32), "2.jpg": (64, 32), "3.png": (64, 32), "Ä.png": (64, 64)}.items():
        drawn(1, size).save(pictures / name)
    for name, size in {"1.PNG": (128, 64), "3.png": (64, 64), "ä.png": (64, 64), "9.png": (8, 8)}.items():
        drawn(1, size).save(others / name)

    check = check_pairs(pictures, others)

    assert (check.missing, check.surplus, check.other_shape) == (("2.jpg",), ("9.png",), ("3.png",))
    assert not check.is_complete
    (others / "9.png").unlink()
    (others / "3.png").write_bytes(b"no picture")
    (pictures / "2.jpg").unlink()
    assert check_pairs(pictures, others).unreadable == ("3.png",)
    (others / "3.png").unlink()
    (pictures / "3.png").unlink()
    assert check_pairs(pictures, others).is_complete


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match="The folder cannot be read"):
        check_pairs(tmp_path, tmp_path / "nowhere")
