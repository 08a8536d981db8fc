import random

import numpy as np
import pytest
from PIL import Image
from tanren.data.augment import (
    Face,
    apply_gamma,
    face_crop,
    face_in_name,
    random_crop,
    shift_hue,
    vary_color,
)
from tanren.data.buckets import centre_crop


def test_centre_crop_takes_the_floor_of_half_the_excess():
    assert centre_crop((683, 384), (640, 384)).left_top == (21, 0)
    assert centre_crop((512, 515), (512, 512)).left_top == (0, 1)


def test_random_crop_reaches_both_ends():
    places = {random_crop((14, 10), (10, 10), random.Random(seed)).left_top for seed in range(60)}

    assert places == {(left, 0) for left in range(5)}


@pytest.mark.parametrize(
    ("stem", "face"),
    [
        ("photo_1_100_80_64_60", Face((100, 80), (64, 60))),
        ("100_80_64_60", Face((100, 80), (64, 60))),
        ("photo", None),
        ("a_b_c_d", None),
        ("x_1_2_0_0", None),
        ("x_-1_2_3_4", None),
    ],
)
def test_faces_are_told_by_file_names(stem, face):
    assert face_in_name(stem) == face


def test_face_crop_scales_the_face_into_the_range():
    face = Face((500, 400), (100, 80))
    for seed in range(50):
        resized, (left, top) = face_crop(
            (1000, 800), (256, 256), face, (2.0, 4.0), moves=False, rng=random.Random(seed)
        )
        scale = resized[0] / 1000
        assert 256 / 400 - 0.01 <= scale <= 1.0
        assert left <= 500 * scale - 40 * scale and 500 * scale + 40 * scale <= left + 256
        assert top <= 400 * scale <= top + 256


def test_face_crop_with_one_factor_is_centred_on_the_face():
    placement = face_crop(
        (1000, 800), (256, 256), Face((500, 400), (128, 90)), (2.0, 2.0), moves=False, rng=random.Random(0)
    )

    assert placement == ((1000, 800), (500 - 128, 400 - 128))


def test_face_crop_never_leaves_the_picture_and_covers_small_ones():
    for seed in range(30):
        for face in (Face((0, 0), (30, 30)), Face((300, 200), (900, 30))):
            (width, height), (left, top) = face_crop(
                (300, 200), (256, 256), face, (1.0, 3.0), moves=True, rng=random.Random(seed)
            )
            assert width >= 256 and height >= 256
            assert 0 <= left <= width - 256 and 0 <= top <= height - 256


def test_colour_varies_in_a_third_of_the_draws():
    pixels = np.array(Image.effect_noise((16, 16), 90).convert("RGB"))
    pixels[:, :, 0] //= 2

    changed = sum(not np.array_equal(vary_color(pixels, random.Random(seed)), pixels) for seed in range(600))

    assert 140 <= changed <= 240


def test_hue_shift_of_a_third_turns_red_into_green():
    red = np.full((2, 2, 3), (255, 0, 0), np.uint8)

    assert abs(shift_hue(red, 85).astype(int) - [0, 255, 0]).max() <= 4
    assert np.array_equal(shift_hue(red, 0), red)


def test_gamma_is_applied_to_values_up_to_255_and_clipped():
    pixels = np.array([[[0, 100, 255]]], np.uint8)

    assert apply_gamma(pixels, 1.05).tolist() == [[[0, 125, 255]]]
    assert apply_gamma(pixels, 0.95).tolist() == [[[0, 79, 193]]]
