"""What copies go through, and that the page and the command line make the same copies."""

from __future__ import annotations

import pytest
from PIL import Image
from tanren.errors import UsageError
from tanren.options.dataset_plan import DatasetPlan
from tanren.preparation.picture_steps import PictureSteps, box_from, change_of


def picture(size=(40, 20), alpha=None):
    """Red on the left, blue on the right; `alpha` of the right half."""
    image = Image.new("RGBA" if alpha is not None else "RGB", size, (255, 0, 0))
    image.paste((0, 0, 255) if alpha is None else (0, 0, 255, alpha), (size[0] // 2, 0, *size))
    return image


def made(tmp_path, image, **steps):
    return change_of(PictureSteps(**steps))(image, tmp_path / "a.png")


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ({}, (40, 20)),
        ({"size": "longest", "size_wh": (10, 10)}, (10, 5)),
        ({"size": "longest", "size_wh": (80, 80)}, (40, 20)),
        ({"size": "longest", "size_wh": (80, 80), "enlarges": True}, (80, 40)),
        ({"size": "shortest", "size_wh": (10, 10)}, (20, 10)),
        ({"size": "area", "size_wh": (10, 20)}, (20, 10)),
        ({"size": "exact", "size_wh": (12, 16)}, (12, 16)),
        ({"size": "trained", "plan": DatasetPlan(subsets=(), resolution_wh=(64, 64))}, (64, 64)),
        ({"box": (10, 5, 30, 20)}, (20, 15)),
        ({"box": (0, 0, 20, 20), "size": "longest", "size_wh": (10, 10)}, (10, 10)),
    ],
)
def test_sizes(tmp_path, steps, size):
    assert made(tmp_path, picture(), **steps).size == size


def test_rims_are_cleaned_before_transparent_parts_get_a_colour(tmp_path):
    assert made(tmp_path, picture(alpha=100), threshold=128, alpha="white").getpixel((30, 10)) == (255, 255, 255)
    assert made(tmp_path, picture(alpha=200), threshold=128, alpha="white").getpixel((30, 10)) == (0, 0, 255)
    assert made(tmp_path, picture(alpha=0), alpha="opaque").getpixel((30, 10)) == (0, 0, 255)
    assert made(tmp_path, picture(alpha=0), alpha="#102030").getpixel((30, 10)) == (16, 32, 48)


def test_a_mask_shows_what_the_cleaned_picture_would(tmp_path):
    mask = made(tmp_path, picture(alpha=100), threshold=128, as_mask=True)
    assert (mask.mode, mask.getpixel((5, 10)), mask.getpixel((30, 10))) == ("L", 255, 0)
    inverted = made(tmp_path, picture(alpha=100), threshold=128, grow=2, as_mask=True, inverted=True)
    assert [inverted.getpixel((x, 10)) for x in (5, 21, 22, 30)] == [0, 0, 255, 255]


def test_transparency_comes_from_the_mask_of_the_same_name(tmp_path):
    Image.new("L", (80, 40), 0).save(tmp_path / "A.webp", lossless=True)

    assert made(tmp_path, picture(), masks=tmp_path).getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize(
    ("steps", "what"),
    [
        ({"threshold": 256}, "Alpha goes from 0 to 255."),
        ({"grow": 101}, "At most 100 pixels."),
        ({"alpha": "blurple"}, "'blurple' is no colour."),
        ({"size": "trained"}, "It needs the resolution of the training."),
        ({"size": "longest"}, "A side has at least 1 pixel."),
        ({"size": "widest"}, "There is no such change of the size."),
    ],
)
def test_what_is_out_of_range_is_refused_before_the_first_picture(steps, what):
    with pytest.raises(UsageError) as problem:
        change_of(PictureSteps(**steps))
    assert problem.value.what == what


def test_nothing_to_do_is_known():
    assert PictureSteps().is_nothing
    assert PictureSteps(inverted=True).is_nothing
    assert not PictureSteps(threshold=1).is_nothing


def test_boxes_are_four_numbers():
    assert box_from("1,2,3,4", "--crop") == (1, 2, 3, 4)
    assert box_from(" ", "--crop") is None
    with pytest.raises(UsageError, match="These are not four whole numbers"):
        box_from("1,2,3", "--crop")
