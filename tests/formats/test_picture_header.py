import os
import struct

import pytest
from PIL import Image
from tanren.errors import DataError
from tanren.formats.picture_header import PictureLimits, check_limits, orientation_of, read_header


def saved(path, size=(60, 40), mode="RGB", **keys):
    Image.new(mode, size).save(path, **keys)
    return str(path)


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


@pytest.mark.parametrize(
    ("name", "keys", "kind"),
    [
        ("a.png", {}, "PNG"),
        ("a.jpg", {}, "JPEG"),
        ("b.jpg", {"progressive": True}, "JPEG"),
        ("a.webp", {}, "WEBP"),
        ("b.webp", {"lossless": True}, "WEBP"),
        ("a.bmp", {}, "BMP"),
        ("a.gif", {}, "GIF"),
    ],
)
def test_size_and_kind_come_from_the_header(tmp_path, name, keys, kind):
    header = read_header(saved(tmp_path / name, **keys))

    assert (header.format, header.size_wh, header.orientation, header.is_animated) == (kind, (60, 40), 1, False)


@pytest.mark.rule("img-02")
def test_the_kind_is_read_from_the_content_not_from_the_name(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 9)).save(path, format="PNG")

    assert read_header(str(path)).format == "PNG"


@pytest.mark.rule("img-04")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_orientation_turns_the_size(tmp_path, suffix):
    upright = read_header(saved(tmp_path / f"a.{suffix}", exif=exif(3)))
    turned = read_header(saved(tmp_path / f"b.{suffix}", exif=exif(6)))

    assert (upright.orientation, upright.size_wh) == (3, (60, 40))
    assert (turned.orientation, turned.size_wh) == (6, (40, 60))


@pytest.mark.rule("img-04")
@pytest.mark.parametrize("block", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\x7f"])
def test_broken_exif_is_ignored_and_said(tmp_path, block):
    header = read_header(saved(tmp_path / "a.jpg", exif=block))

    assert (header.orientation, header.size_wh, header.has_broken_exif) == (1, (60, 40), True)


def test_exif_with_big_endian_numbers():
    assert orientation_of(b"MM\x00*" + struct.pack(">IHHHIHH", 8, 1, 0x0112, 3, 1, 8, 0)) == 8


@pytest.mark.rule("img-08")
@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_animations_are_recognised(tmp_path, name):
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])

    header = read_header(str(tmp_path / name))

    assert (header.is_animated, header.size_wh) == (True, (20, 10))


@pytest.mark.rule("img-01")
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "The file is empty."),
        (b"<!DOCTYPE html><html>", "It is a web page or drawing"),
        (b"<svg xmlns='x'>", "It is a web page or drawing"),
        (b"hello, this is text", "It is a text file."),
        (b"version https://git-lfs", "Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00", "Its header is damaged"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x00\x00\x00\x00\x05\x08\x02\x00\x00\x00", "0x5 pixels"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "Its header is damaged"),
        (b"\xff\xd8\xff", "Its header is damaged"),
        (b"RIFF\x00\x00\x00\x00WEBPjunk\x00\x00\x00\x00", "Its header is damaged"),
        (b"\x90\xf4\xa2" + b"\x00" * 40, "The decoder says"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(tmp_path, content, why):
    path = tmp_path / "a.png"
    path.write_bytes(content)

    with pytest.raises(DataError) as refused:
        read_header(str(path))

    assert refused.value.code == 3
    assert why in refused.value.why
    assert "--on_bad_image=skip" in refused.value.fix


@pytest.mark.rule("img-01")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a Unix thing")
def test_a_named_pipe_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")

    with pytest.raises(DataError, match="cannot be read") as refused:
        read_header(str(tmp_path / "a.png"))
    assert refused.value.why == "It is not a regular file."


@pytest.mark.rule("img-03")
@pytest.mark.parametrize("size", [(9000, 9000), (30_001, 10), (1, 100_000)])
def test_bombs_and_strips_are_refused_with_the_numbers(size):
    with pytest.raises(DataError, match=f"too large: {size[0]}x{size[1]} pixels") as refused:
        check_limits(size, PictureLimits(), "a.png")
    assert refused.value.why == "At most 64000000 pixels and 30000 pixels a side are decoded."


@pytest.mark.rule("img-10")
def test_pictures_below_min_side_are_refused():
    check_limits((64, 500), PictureLimits(min_side=64), "a.png")
    with pytest.raises(DataError, match="too small: 63x500 pixels") as refused:
        check_limits((63, 500), PictureLimits(min_side=64), "a.png")
    assert refused.value.fix == "Remove it, or lower --min_side."


@pytest.mark.parametrize(
    ("mode", "suffix", "options", "has_alpha"),
    [
        ("RGB", ".png", {}, False),
        ("RGBA", ".png", {}, True),
        ("LA", ".png", {}, True),
        ("P", ".png", {"transparency": 0}, True),
        ("P", ".png", {}, False),
        ("RGB", ".webp", {}, False),
        ("RGBA", ".webp", {}, True),
        ("RGBA", ".webp", {"lossless": True}, True),
        ("RGB", ".jpg", {}, False),
        ("L", ".bmp", {}, False),
    ],
)
def test_header_tells_whether_there_is_transparency(tmp_path, mode, suffix, options, has_alpha):
    path = tmp_path / f"picture{suffix}"
    colour = (9, 9, 9, 100)[: len(Image.new(mode, (1, 1)).getbands())] if mode not in ("P", "L", "LA") else 9
    Image.new(mode, (70, 60), colour if mode != "LA" else (9, 100)).save(path, **options)

    assert read_header(str(path)).has_alpha is has_alpha
