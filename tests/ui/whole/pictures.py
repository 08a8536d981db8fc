"""A folder of drawn pictures with captions, under a name that some programs stumble over."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = "学習 データ (1)"
SIZE, FINE = 64, 4
COLORS = {"red": (206, 52, 48), "blue": (48, 92, 200), "green": (44, 150, 72), "yellow": (232, 196, 52)}
GROUNDS = {"white": (245, 245, 245), "black": (24, 24, 24), "gray": (130, 130, 130)}


def draw_pictures(parent: Path) -> Path:
    """Twelve crescents in four colours on three grounds, eleven with a caption; the folder they lie in."""
    folder = parent / FOLDER
    folder.mkdir(parents=True)
    wanted = [(color, ground) for color in COLORS for ground in GROUNDS]
    for number, (color, ground) in enumerate(wanted):
        path = folder / f"月 {number:02}.png"
        crescent(number, COLORS[color], GROUNDS[ground]).save(path)
        if number:
            path.with_suffix(".txt").write_text(f"a {color} sks on a {ground} background", "utf-8")
    return folder


def crescent(number: int, color: tuple[int, int, int], ground: tuple[int, int, int]) -> Image.Image:
    """A disc with a bite taken out, at another place and of another size for each number."""
    side = SIZE * FINE
    picture = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(picture)
    radius = side * (0.28 + 0.02 * (number % 5))
    x, y = side * (0.45 + 0.03 * (number % 4)), side * (0.46 + 0.03 * (number % 3))
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    bite, shift = radius * 0.85, radius * 0.55
    pen.ellipse((x - bite + shift, y - bite, x + bite + shift, y + bite), fill=ground)
    return picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
