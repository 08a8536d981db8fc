"""The demo's sheet and curve show what they are given."""

from __future__ import annotations

from PIL import Image
from tanren.micro.charts import (
    CELL,
    CURVE,
    GAP,
    LABEL_HEIGHT,
    MARGIN_LEFT,
    RIGHT,
    TITLE_HEIGHT,
    WRONG,
    Pair,
    before_after_sheet,
    loss_plot,
)
from tanren.micro.charts import _round_up as round_up


def pair(right_before: bool, right_after: bool) -> Pair:
    red, blue = Image.new("RGB", (64, 64), (255, 0, 0)), Image.new("RGB", (32, 64), (0, 0, 255))
    return Pair("a thing\non white", red, blue, right_before, right_after)


def test_the_sheet_puts_before_above_after_and_frames_what_is_right():
    sheet = before_after_sheet("title", [pair(False, True)] * 9)
    top = TITLE_HEIGHT + LABEL_HEIGHT
    assert sheet.getpixel((MARGIN_LEFT + CELL // 2, top + CELL // 2)) == (255, 0, 0)
    assert sheet.getpixel((MARGIN_LEFT + CELL // 2, top + CELL + GAP + CELL // 2)) == (0, 0, 255)
    assert sheet.getpixel((MARGIN_LEFT - 2, top)) == WRONG
    assert sheet.getpixel((MARGIN_LEFT - 2, top + CELL + GAP)) == RIGHT
    assert sheet.height == TITLE_HEIGHT + 2 * (LABEL_HEIGHT + 2 * (CELL + GAP) + GAP)


def test_a_constant_loss_is_a_level_line():
    plot = loss_plot([(step, 0.5) for step in range(1, 101)], "Loss")
    rows = {y for y in range(plot.height) if plot.getpixel((400, y)) == CURVE}
    assert rows == set(range(min(rows), min(rows) + 3))
    assert 49 <= min(rows) <= 52


def test_one_step_makes_a_plot():
    assert loss_plot([(1, 0.1)], "Loss").size == (900, 480)


def test_axes_end_at_short_numbers():
    assert [round_up(value) for value in (0.13, 0.2, 0.9, 3.0, 0.0)] == [0.2, 0.2, 1.0, 4.0, 1.0]
