import numpy as np
import pytest
from PIL import Image
from tanren.data.resize import area_average, resize


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def overlaps(length, count):
    """(count, length): the part of each old cell that lies in each new one, by their borders."""
    new = np.arange(count + 1) * length / count
    old = np.arange(length + 1)
    low = np.maximum(new[:-1, None], old[None, :-1])
    high = np.minimum(new[1:, None], old[None, 1:])
    return (high - low).clip(0) * count / length


@pytest.mark.parametrize(
    ("size", "target"), [((30, 20), (15, 10)), ((31, 23), (17, 9)), ((64, 64), (63, 7)), ((9, 5), (9, 3))]
)
def test_area_average_equals_the_sum_over_overlaps(size, target):
    pixels = noise(size[1], size[0]).astype(np.float64)

    expected = np.einsum("yh,xw,hwc->yxc", overlaps(size[1], target[1]), overlaps(size[0], target[0]), pixels)

    assert np.allclose(area_average(pixels, target), expected, atol=2e-3)


def test_area_keeps_a_flat_colour_exactly():
    flat = np.full((1080, 1920, 3), 201, np.uint8)

    assert (resize(flat, (683, 384)) == 201).all()


def test_by_default_shrinking_averages_areas_and_enlarging_is_lanczos():
    pixels = noise(20, 30)

    assert np.array_equal(resize(pixels, (15, 10)), resize(pixels, (15, 10), "area"))
    assert np.array_equal(
        resize(pixels, (60, 40)), np.array(Image.fromarray(pixels).resize((60, 40), Image.Resampling.LANCZOS))
    )
    assert np.array_equal(resize(pixels, (60, 10)), resize(pixels, (60, 10), "lanczos"))


@pytest.mark.parametrize("name", ["lanczos", "box", "nearest", "bilinear", "linear", "bicubic", "cubic", "area"])
def test_every_name_works_both_ways(name):
    assert resize(noise(20, 30), (10, 10), name).shape == (10, 10, 3)
    assert resize(noise(20, 30), (50, 40), name).shape == (40, 50, 3)


def test_the_same_size_changes_nothing():
    pixels = noise(8, 8)

    assert resize(pixels, (8, 8), "lanczos") is pixels
