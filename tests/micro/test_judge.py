import numpy as np
import pytest
from tanren.micro.drawing import Pixels, render
from tanren.micro.judge import Verdict, judge, steepness
from tanren.micro.world import BACKGROUNDS, COLORS, NEW_SHAPES, PICTURE_SIZES_WH, SHAPES, Scene, Words, draw_scene


@pytest.mark.parametrize("size_wh", PICTURE_SIZES_WH)
def test_judge_is_right_on_every_true_picture(size_wh: tuple[int, int]):
    rng = np.random.default_rng(21)
    wrong = []
    for _ in range(150):
        scene = draw_scene(rng)
        verdict = judge(render(scene, size_wh, rng))
        words = scene.words
        if (verdict.shape, verdict.color, verdict.background) != (words.shape, words.color, words.background):
            wrong.append((words, verdict))
        if words.size and verdict.size != words.size:
            wrong.append((words, verdict))

    assert wrong == []


def test_judge_knows_the_new_shapes_in_every_color_and_on_every_background():
    rng = np.random.default_rng(22)
    for shape in NEW_SHAPES:
        for color in COLORS:
            for background in BACKGROUNDS:
                verdict = judge(render(Scene(Words(shape, color, background)), (64, 64), rng))
                assert (verdict.shape, verdict.color, verdict.background) == (shape, color, background)


def uniform_noise(rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)


def coarse_noise(rng: np.random.Generator) -> Pixels:
    return np.kron(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), dtype=np.uint8))


def smooth_noise(rng: np.random.Generator) -> Pixels:
    spectrum = np.fft.fft2(rng.normal(size=(64, 64, 3)), axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    field = np.real(np.fft.ifft2(spectrum * np.exp(-((frequency * 20) ** 2))[..., None], axes=(0, 1)))
    return np.clip(128 + 60 * field / field.std(), 0, 255).astype(np.uint8)


def specks_on_white(rng: np.random.Generator) -> Pixels:
    picture = np.full((64, 64, 3), 245, dtype=np.uint8)
    picture[rng.random((64, 64)) < 0.2] = (220, 30, 35)
    return picture


def blank(rng: np.random.Generator) -> Pixels:
    return np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (64, 64, 3)).copy()


@pytest.mark.parametrize("draw", [uniform_noise, coarse_noise, smooth_noise, blank])
def test_judge_sees_no_shape_and_no_color_where_there_is_none(draw):
    rng = np.random.default_rng(23)
    verdicts = [judge(draw(rng)) for _ in range(250)]

    assert {(verdict.shape, verdict.color) for verdict in verdicts} == {(None, None)}


def test_red_specks_are_red_but_no_shape():
    verdict = judge(specks_on_white(np.random.default_rng(25)))

    assert (verdict.background, verdict.color, verdict.shape) == ("white", "red", None)


def test_noise_has_no_background_either():
    assert judge(uniform_noise(np.random.default_rng(24))) == Verdict()


def test_a_blank_picture_is_its_background_and_nothing_else():
    assert judge(np.full((64, 64, 3), 245, dtype=np.uint8)) == Verdict(background="white")


def test_half_a_shape_is_not_the_shape():
    picture = render(Scene(Words("circle", "red", "white", "big")), (64, 64), np.random.default_rng(0))
    picture[:, 32:] = picture[0, 0]

    assert judge(picture).shape != "circle"


def test_two_shapes_side_by_side_are_no_known_shape():
    rng = np.random.default_rng(0)
    half = render(Scene(Words("circle", "red", "white", "small")), (48, 64), rng)

    assert judge(np.concatenate([half, half], axis=1)).shape is None


def test_an_unknown_color_is_no_color():
    picture = np.full((64, 64, 3), 15, dtype=np.uint8)
    picture[16:48, 16:48] = (240, 240, 240)
    verdict = judge(picture)

    assert (verdict.background, verdict.color, verdict.shape) == ("black", None, "square")


def test_radius_and_center_are_those_of_the_drawn_square():
    picture = np.full((64, 96, 3), 245, dtype=np.uint8)
    picture[8:40, 16:48] = (35, 70, 215)
    verdict = judge(picture)

    assert verdict.radius == 0.25
    assert verdict.center_xy == pytest.approx((32 / 96, 24 / 64))
    assert (verdict.shape, verdict.size) == ("square", "small")


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_up_to_the_training_tilt_are_recognized(shape: str):
    for rotation in (-0.18, 0.18):
        picture = render(Scene(Words(shape, "green", "gray"), rotation=rotation), (64, 64), np.random.default_rng(0))
        assert judge(picture).shape == shape


def square_with_edges(pixels_of_the_edge: int) -> Pixels:
    """A red square on white, whose colour rises over this many pixels on all four sides."""
    distance = np.minimum(np.arange(64) - 15, 48 - np.arange(64)) / pixels_of_the_edge
    rise = np.clip(distance, 0, 1)
    covered = np.minimum(rise[:, None], rise[None, :])[..., None]
    return (240 - covered * np.array([20, 210, 200])).round().astype(np.uint8)


@pytest.mark.parametrize("pixels_of_the_edge", [1, 2, 4, 8])
def test_steepness_is_one_over_the_width_of_an_edge(pixels_of_the_edge: int):
    assert steepness(square_with_edges(pixels_of_the_edge)) == pytest.approx(1 / pixels_of_the_edge, rel=0.03)


def test_a_blank_picture_has_no_steepness():
    assert steepness(np.full((64, 64, 3), 240, dtype=np.uint8)) is None
