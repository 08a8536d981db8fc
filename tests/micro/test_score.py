import numpy as np
import pytest
from tanren.micro.drawing import Pixels, render
from tanren.micro.judge import Verdict
from tanren.micro.score import is_as_asked, score
from tanren.micro.world import Scene, Words


def drawn(shape: str, color: str, background: str, size: str = "") -> Pixels:
    return render(Scene(Words(shape, color, background, size)), (64, 64), np.random.default_rng(0))


def test_shares_count_each_word_by_itself():
    pictures = [drawn("circle", "red", "white"), drawn("circle", "blue", "white"), drawn("star", "red", "black")]
    asked = [Words("circle", "red", "white")] * 3

    shares = score(pictures, asked)

    assert shares.count == 3
    assert (shares.shape, shares.color, shares.background) == (2 / 3, 2 / 3, 2 / 3)
    assert shares.complete == 1 / 3
    assert shares.size is None


def test_words_that_are_left_open_are_not_counted():
    shares = score([drawn("heart", "pink", "gray")], [Words("", "pink", "")])

    assert (shares.shape, shares.color, shares.background, shares.complete) == (None, 1.0, None, 1.0)


def test_size_words_are_judged_and_their_radii_reported():
    pictures = [drawn("cross", "green", "white", "small"), drawn("cross", "green", "white", "big")]
    asked = [Words("cross", "green", "white", "small"), Words("cross", "green", "white", "big")]

    shares = score(pictures, asked)

    assert shares.size == 1.0
    assert shares.small_radius is not None and shares.small_radius < 0.29
    assert shares.big_radius is not None and shares.big_radius > 0.36


def test_a_new_shape_can_be_asked_for():
    assert score([drawn("moon", "yellow", "black")], [Words("moon", "yellow", "black")]).complete == 1.0


def test_nothing_seen_is_not_what_was_asked():
    assert not is_as_asked(Verdict(), Words("circle", "", ""))


def test_a_request_without_a_picture_is_refused():
    with pytest.raises(ValueError, match="1 pictures cannot be held against 2 requests"):
        score([drawn("circle", "red", "white")], [Words("circle", "red", "white")] * 2)


def test_shares_read_as_one_line():
    assert str(score([drawn("circle", "red", "white")], [Words("circle", "red", "white")])) == (
        "1 pictures: shape 1.000, colour 1.000, background 1.000, all 1.000"
    )
