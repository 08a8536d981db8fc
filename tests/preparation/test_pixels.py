"""What copies of pictures go through."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image
from story_folder import drawn, story_folder, tree_bytes, turned, with_hole
from tanren.errors import DataError, UsageError
from tanren.formats.picture_pixels import open_upright
from tanren.options.dataset_plan import DatasetPlan
from tanren.preparation import masks, pixels
from tanren.preparation.copies import SAME, alone, make_copies, plan_copies
from tanren.preparation.fitting import cropper
from tanren.preparation.journal import Journal
from tanren.preparation.levels import understand

HALF = Image.new("RGBA", (2, 1))
HALF.putdata([(200, 100, 0, 0), (0, 0, 0, 128)])


def copied(folder, out, change, tmp_path, format_name=SAME, **keys):
    copies = plan_copies(understand(folder), out, format_name=format_name, with_captions=True)
    return make_copies(copies, change, Journal(tmp_path / "data"), title="copies", out=out, **keys)


def test_copies_are_made_beside_and_undone_together(tmp_path):
    folder, out = story_folder(tmp_path / "in"), tmp_path / "out"
    before = tree_bytes(tmp_path / "in")

    outcome = copied(folder, out, alone(lambda one: pixels.resized(one, (64, 64))), tmp_path, "png")

    assert len(outcome.made) == 11
    assert [problem.where for problem in outcome.problems] == [str(folder / "07 broken.jpg")]
    assert (out / "02.txt").read_bytes() == (folder / "02.txt").read_bytes()
    assert Image.open(out / "06 透明.png").mode == "RGBA"
    assert tree_bytes(tmp_path / "in") == before
    Journal(tmp_path / "data").undo()
    assert not out.exists()


def test_what_is_there_is_left_alone_so_that_a_run_can_go_on(tmp_path):
    folder, out = story_folder(tmp_path / "in"), tmp_path / "out"
    out.mkdir()
    (out / "01.png").write_bytes(b"mine")

    outcome = copied(folder, out, alone(lambda one: one), tmp_path)

    assert outcome.there == [out / "01.png"]
    assert (out / "01.png").read_bytes() == b"mine"


def test_formats_stay_where_they_can_be_written(tmp_path):
    folder = story_folder(tmp_path / "in")

    copies = plan_copies(understand(folder), tmp_path / "out", format_name=SAME, with_captions=False)

    names = {copy.picture.name: copy.target.name for copy in copies}
    assert (names["04.bmp"], names["05 [five].PNG"], names["02.jpg"]) == ("04.png", "05 [five].png", "02.jpg")


def test_copies_among_the_pictures_are_refused(tmp_path):
    folder = story_folder(tmp_path / "in")
    with pytest.raises(UsageError, match="among the pictures themselves"):
        plan_copies(understand(folder), folder, format_name="png", with_captions=False)


def test_two_pictures_of_one_name_are_refused(tmp_path):
    for name in ("a.png", "a.jpg"):
        drawn(1, (32, 32)).save(tmp_path / name)
    with pytest.raises(UsageError, match=r"a.jpg and a.png would both become a.webp"):
        plan_copies(understand(tmp_path), tmp_path / "out", format_name="webp", with_captions=False)


@pytest.mark.rule("img-04")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, orientation):
    upright = drawn(3, (64, 48))
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if back is None else upright.transpose(Image.Transpose(back))
    stored.save(tmp_path / "x.png", exif=turned(orientation))

    assert open_upright(str(tmp_path / "x.png")).tobytes() == upright.tobytes()


def test_transparent_parts_show_the_colour_never_what_is_hidden():
    assert pixels.flattened(HALF, (255, 255, 255)).tobytes() == bytes([255, 255, 255, 127, 127, 127])
    assert pixels.opaque(HALF).tobytes() == bytes([200, 100, 0, 0, 0, 0])


def test_hidden_colours_do_not_bleed_when_resized():
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 255, 0, 255), (0, 0, 32, 64))

    small = pixels.resized(image, (16, 16))

    assert small.getpixel((7, 8))[0] < 3


def test_sixteen_bits_become_eight_and_white_stays_white(tmp_path):
    Image.new("I;16", (4, 4), 65535).save(tmp_path / "x.png")

    image = pixels.in_eight_bits(open_upright(str(tmp_path / "x.png")))

    assert (image.mode, image.getextrema()) == ("L", (255, 255))


def wide_profile() -> bytes:
    """A colour profile with the primaries of Display P3 and a gamma of 2.2."""

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    text = b"desc\0\0\0\0" + struct.pack(">I", 3) + b"P3\0" + bytes(78)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    tags = {
        b"desc": text + bytes(-len(text) % 4),
        b"cprt": b"text\0\0\0\0none",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.5151, 0.2412, -0.0011),
        b"gXYZ": xyz(0.2919, 0.6922, 0.0419),
        b"bXYZ": xyz(0.1572, 0.0666, 0.7841),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">2I", place + len(body), len(data))
        body += data
    size = place + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pictures_of_another_colour_space_become_srgb(mode):
    image = Image.new(mode, (2, 2), (200, 100, 50, 77)[: len(mode)])
    image.info["icc_profile"] = wide_profile()

    changed = pixels.in_eight_bits(image)

    seen = changed.getpixel((0, 0))
    # By the published matrix between the two: 0.689, 0.108 and 0.0090 in linear light.
    assert max(abs(one - other) for one, other in zip(seen, (216, 93, 24, 77), strict=False)) <= 1, seen
    assert (changed.mode, changed.info) == (mode, {})


def test_a_broken_colour_profile_is_no_worse_than_none():
    image = Image.new("RGB", (1, 1), (1, 2, 3))
    image.info["icc_profile"] = b"nonsense"

    assert pixels.in_eight_bits(image).getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_every_kind_of_picture_can_be_copied(mode):
    image = pixels.in_eight_bits(Image.new(mode, (8, 8)))

    assert image.mode in ("L", "RGB", "RGBA")
    assert Image.open(io.BytesIO(pixels.encoded(image, pixels.Encoding("PNG")))).size == (8, 8)


def test_sizes():
    assert pixels.longest_side((1920, 1080), 960, enlarges=False) == (960, 540)
    assert pixels.shortest_side((1920, 1080), 540, enlarges=False) == (960, 540)
    assert pixels.area((2000, 500), 512 * 512, enlarges=False) == (1024, 256)
    assert pixels.longest_side((100, 50), 960, enlarges=False) == (100, 50)
    assert pixels.longest_side((100, 50), 200, enlarges=True) == (200, 100)
    assert pixels.exactly(drawn(1, (300, 200)), (64, 96)).size == (64, 96)


def test_copies_as_trained_have_the_bucket_of_training():
    crop = cropper(DatasetPlan(subsets=(), resolution_wh=(512, 512), enable_bucket=True))

    assert pixels.as_trained(drawn(1, (1920, 1080)), crop((1920, 1080))).size == (640, 384)


def test_parts_of_a_picture():
    assert pixels.boxed(drawn(1, (100, 50)), (-10, 10, 40, 500)).size == (40, 40)
    with pytest.raises(UsageError, match="This lies outside of a picture of 100x50 pixels"):
        pixels.boxed(drawn(1, (100, 50)), (200, 0, 300, 50))


def test_jpeg_cannot_be_transparent():
    with pytest.raises(UsageError, match="JPEG files cannot be transparent"):
        pixels.encoded(HALF, pixels.Encoding("JPEG"))


def test_lossless_webp_keeps_hidden_colours():
    data = pixels.encoded(HALF, pixels.Encoding("WEBP", 100))

    assert Image.open(io.BytesIO(data)).convert("RGBA").getpixel((0, 0)) == (200, 100, 0, 0)


def test_colours_by_name_and_number():
    assert pixels.colour("white", "x") == (255, 255, 255)
    assert pixels.colour("#8090a0", "x") == (128, 144, 160)
    with pytest.raises(UsageError, match="'blurple' is no colour"):
        pixels.colour("blurple", "--alpha")


def test_rims_are_cleaned_and_colours_stay():
    picture = with_hole(drawn(1, (320, 320)))

    clean = masks.clean_rims(picture, 128)

    assert {alpha for _, alpha in clean.getchannel("A").getcolors()} == {0, 255}
    assert clean.convert("RGB").tobytes() == picture.convert("RGB").tobytes()
    assert masks.clean_rims(drawn(1, (8, 8)), 128).mode == "RGB"
    with pytest.raises(UsageError, match="Alpha goes from 0 to 255"):
        masks.clean_rims(picture, 0)


def test_masks_grow_and_shrink():
    dot = Image.new("L", (9, 9))
    dot.putpixel((4, 4), 255)

    grown = masks.grown(dot, 2)

    assert grown.getbbox() == (2, 2, 7, 7)
    assert masks.grown(grown, -2).tobytes() == dot.tobytes()
    assert masks.softened(dot, 1.0).getextrema()[1] < 255
    with pytest.raises(UsageError, match="At most 100 pixels"):
        masks.grown(dot, 101)


def test_alpha_comes_back_from_a_mask_picture():
    picture = with_hole(drawn(1, (320, 320)))
    flat, mask = picture.convert("RGB"), masks.mask_picture(picture)

    assert masks.restored(flat, mask).tobytes() == picture.tobytes()
    assert masks.restored(flat, mask.resize((160, 160))).size == (320, 320)
    with pytest.raises(DataError, match="The mask has 160x100 pixels, the picture 320x320"):
        masks.restored(flat, mask.resize((160, 100)))
    assert masks.mask_picture(picture, inverted=True).getpixel((160, 160)) == 255
    assert masks.mask_picture(flat).getextrema() == (255, 255)
