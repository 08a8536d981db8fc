"""The folder of pictures that people really have: Japanese and brackets in its name, and one of every oddity.

12 pictures: one transparent, one broken, one of 90 pixels, two that look alike, one stored turned, one `.PNG`.
Captions: 10 `.txt` (one cp932, one with byte order mark, one of two lines), 1 `.caption`, 1 picture without. A folder
`3_sks girl` in it holds copies of four of them.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from PIL import Image, ImageDraw

NAME = "学習 データ (1)"
INNER = "3_sks girl"
COPIED = ("01.png", "02.jpg", "03.webp", "04.bmp")


def story_folder(parent: Path) -> Path:
    """Make the folder in `parent` and return it."""
    folder = parent / NAME
    folder.mkdir(parents=True)
    drawn(1, (320, 320)).save(folder / "01.png")
    drawn(2, (400, 300)).save(folder / "02.jpg", quality=95)
    drawn(3, (300, 400)).save(folder / "03.webp")
    drawn(4, (512, 288)).save(folder / "04.bmp")
    drawn(5, (320, 320)).save(folder / "05 [five].PNG")
    with_hole(drawn(6, (320, 320))).save(folder / "06 透明.png")
    (folder / "07 broken.jpg").write_bytes(broken_jpeg(folder))
    drawn(8, (90, 90)).save(folder / "08 tiny.png")
    drawn(9, (384, 384)).save(folder / "09 twin a.png")
    drawn(9, (384, 384)).resize((352, 352)).save(folder / "09 twin b.jpg", quality=70)
    drawn(10, (400, 300)).save(folder / "10 turned.jpg", exif=turned(6))
    drawn(11, (320, 480)).save(folder / "11.png")
    write_captions(folder)
    inner = folder / INNER
    inner.mkdir()
    for name in COPIED:
        shutil.copy2(folder / name, inner / name)
        shutil.copy2((folder / name).with_suffix(".txt"), (inner / name).with_suffix(".txt"))
    return folder


def write_captions(folder: Path) -> None:
    texts = {
        "01": b"sks girl, red hair, smile",
        "02": "sks girl, 桜色の髪, 笑顔".encode("cp932"),
        "03": b"\xef\xbb\xbfsks girl, blue eyes",
        "04": b"sks girl, outdoors\r\na second line that nobody trains\r\n",
        "05 [five]": b"1girl, sks girl, long_hair, :3",
        "06 透明": b"solo",
        "07 broken": b"sks girl",
        "08 tiny": ", ".join(["sks girl", *(f"tag number {n}" for n in range(40))]).encode(),
        "09 twin a": b"sks girl, hat",
        "09 twin b": b"sks girl, hat, hat",
    }
    for stem, content in texts.items():
        (folder / f"{stem}.txt").write_bytes(content)
    (folder / "10 turned.caption").write_bytes(b"sks girl, indoors\n")


def drawn(seed: int, size: tuple[int, int]) -> Image.Image:
    """A picture of a few large shapes that depend on the seed."""
    rng = random.Random(seed)
    image = Image.new("RGB", size, tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(8):
        x, y = rng.randrange(size[0]), rng.randrange(size[1])
        radius = rng.randrange(min(size) // 8, min(size) // 3)
        color = tuple(rng.randrange(256) for _ in range(3))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x - radius, y - radius, x + radius, y + radius), fill=color)
    return image


def with_hole(image: Image.Image) -> Image.Image:
    """The picture with a round hole through which one can see, with soft rims."""
    alpha = Image.new("L", image.size, 255)
    ImageDraw.Draw(alpha).ellipse((80, 80, 240, 240), fill=0)
    ImageDraw.Draw(alpha).arc((78, 78, 242, 242), 0, 360, fill=128, width=3)
    image = image.copy()
    image.putalpha(alpha)
    return image


def broken_jpeg(folder: Path) -> bytes:
    """A JPEG whose header is fine and whose second half is missing."""
    whole = folder / "whole.jpg"
    drawn(7, (320, 320)).save(whole, quality=95)
    data = whole.read_bytes()
    whole.unlink()
    return data[: len(data) // 2]


def turned(orientation: int) -> bytes:
    """EXIF that says how the pixels lie."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, to compare it with later."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
