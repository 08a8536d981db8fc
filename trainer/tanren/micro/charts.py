"""The demo's pictures of its result: sample sheets and the curve of the loss, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

PAPER, INK, PALE = (255, 255, 255), (40, 40, 40), (185, 190, 200)
RIGHT, WRONG, CURVE = (30, 140, 70), (190, 195, 200), (200, 60, 40)
CELL, GAP, COLUMNS = 96, 8, 8
LABEL_HEIGHT, MARGIN_LEFT, TITLE_HEIGHT = 38, 64, 44


@dataclass(frozen=True)
class Pair:
    """One prompt with the same seed before and after training, and what the judge says of each."""

    label: str
    before: Image.Image
    after: Image.Image
    right_before: bool
    right_after: bool


def before_after_sheet(title: str, pairs: Sequence[Pair]) -> Image.Image:
    """Blocks of a label row, a row before and a row after; a green frame where the judge agrees with the prompt."""
    blocks = [pairs[start : start + COLUMNS] for start in range(0, len(pairs), COLUMNS)]
    block_height = LABEL_HEIGHT + 2 * (CELL + GAP) + GAP
    size = (MARGIN_LEFT + COLUMNS * (CELL + GAP) + GAP, TITLE_HEIGHT + len(blocks) * block_height)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, GAP), title, fill=INK, font=_font(18))
    for number, block in enumerate(blocks):
        top = TITLE_HEIGHT + number * block_height + LABEL_HEIGHT
        draw.text((GAP, top + CELL // 2 - 8), "before", fill=INK, font=_font(15))
        draw.text((GAP, top + CELL + GAP + CELL // 2 - 8), "after", fill=INK, font=_font(15))
        for column, pair in enumerate(block):
            left = MARGIN_LEFT + column * (CELL + GAP)
            draw.multiline_text((left, top - LABEL_HEIGHT + 3), pair.label, fill=INK, font=_font(12), spacing=2)
            _framed(sheet, pair.before, (left, top), pair.right_before)
            _framed(sheet, pair.after, (left, top + CELL + GAP), pair.right_after)
    return sheet


def loss_plot(losses: Sequence[tuple[int, float]], title: str, smooth_over: int = 25) -> Image.Image:
    """Loss over steps, each step pale and its trailing mean dark.

    Args:
        losses: (step, loss), steps rising.
        smooth_over: steps in the trailing mean.
    """
    width, height, left, bottom, top = 900, 480, 70, 50, 50
    plot = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(plot)
    draw.text((left, 14), title, fill=INK, font=_font(18))
    values = [loss for _, loss in losses]
    means = [sum(values[max(0, i - smooth_over + 1) : i + 1]) / min(i + 1, smooth_over) for i in range(len(values))]
    last_step, ceiling = max(losses[-1][0], 1), _round_up(sorted(values)[int(0.98 * (len(values) - 1))])

    def place(step: int, value: float) -> tuple[float, float]:
        across = left + (width - left - 20) * step / last_step
        return across, height - bottom - (height - bottom - top) * min(value / ceiling, 1.0)

    for quarter in range(5):
        value, step = ceiling * quarter / 4, round(last_step * quarter / 4)
        across, up = place(step, value)
        draw.line([(left, up), (width - 20, up)], fill=(232, 234, 238))
        draw.text((8, up - 8), f"{value:.3g}", fill=INK, font=_font(13))
        draw.text((across - 10, height - bottom + 8), str(step), fill=INK, font=_font(13))
    steps = [step for step, _ in losses]
    draw.line([place(step, value) for step, value in losses], fill=PALE)
    draw.line([place(step, mean) for step, mean in zip(steps, means, strict=True)], fill=CURVE, width=3)
    draw.text((width - 90, height - 22), "step", fill=INK, font=_font(13))
    return plot


def _framed(sheet: Image.Image, picture: Image.Image, corner: tuple[int, int], right: bool) -> None:
    x, y = corner
    ImageDraw.Draw(sheet).rectangle((x - 3, y - 3, x + CELL + 2, y + CELL + 2), fill=RIGHT if right else WRONG)
    shrunk = picture.convert("RGB")
    scale = CELL / max(shrunk.size)
    shrunk = shrunk.resize((round(shrunk.width * scale), round(shrunk.height * scale)), Image.Resampling.BICUBIC)
    sheet.paste(shrunk, (x + (CELL - shrunk.width) // 2, y + (CELL - shrunk.height) // 2))


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 4, 5, 8 times a power of ten, so that the quarters of an axis are short numbers."""
    if value <= 0:
        return 1.0
    power = 10.0
    while power / 10 > value:
        power /= 10
    while power < value:
        power *= 10
    return next(part * power for part in (0.1, 0.2, 0.25, 0.4, 0.5, 0.8, 1.0) if part * power >= value)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
