import numpy as np
import pytest
from tanren.micro.drawing import coverage, render, render_busy
from tanren.micro.world import PICTURE_SIZES_WH, Scene, Words


def test_a_circle_covers_its_area():
    covered = coverage("circle", (64, 64), center=(32, 32), radius=20, rotation=0.0)

    assert covered.sum() == pytest.approx(np.pi * (0.92 * 20) ** 2, rel=0.01)


def test_a_triangle_covers_its_area():
    covered = coverage("triangle", (64, 64), center=(32, 32), radius=20, rotation=0.0)

    # Base 2 * 0.98, height 0.98 + 0.78, in radii.
    assert covered.sum() == pytest.approx(0.98 * 1.76 * 20**2, rel=0.01)


def test_a_quarter_turn_is_the_turned_picture():
    upright = coverage("moon", (48, 48), center=(24, 24), radius=18, rotation=0.0)[..., 0]
    turned = coverage("moon", (48, 48), center=(24, 24), radius=18, rotation=np.pi / 2)[..., 0]

    assert np.abs(np.rot90(upright, -1) - turned).mean() < 0.01


def test_a_shape_without_a_drawing_is_refused():
    with pytest.raises(ValueError, match="'hexagon' is not a shape of this world"):
        coverage("hexagon", (64, 64), (32, 32), 20, 0.0)


@pytest.mark.parametrize("size_wh", PICTURE_SIZES_WH)
def test_pictures_are_height_first_and_shapes_stay_inside(size_wh: tuple[int, int]):
    rng = np.random.default_rng(0)
    for x, y in ((-1, -1), (1, 1), (-1, 1)):
        picture = render(Scene(Words("square", "red", "white", "big"), x, y), size_wh, rng)

        assert picture.shape == (size_wh[1], size_wh[0], 3)
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]).astype(int)
        assert np.ptp(border, axis=0).max() == 0


def test_a_shape_far_left_is_drawn_on_the_left():
    picture = render(Scene(Words("circle", "blue", "white"), x=-1), (96, 64), np.random.default_rng(0))
    columns = np.nonzero((picture[..., 0] < 128).any(axis=0))[0]

    assert columns.min() <= 3
    assert columns.max() < 64


def test_busy_pictures_differ_and_fill_the_size():
    rng = np.random.default_rng(0)
    first, second = render_busy((96, 64), rng), render_busy((96, 64), rng)

    assert first.shape == (64, 96, 3)
    assert (first != second).any()
