import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from tanren.data.images import load_image, to_rgb
from tanren.errors import DataError
from tanren.formats.picture_header import PictureLimits

HALVES = np.zeros((4, 6, 3), np.uint8)
HALVES[:, :3] = (200, 40, 10)
HALVES[:, 3:] = (10, 60, 220)


def save(path, image, **keys):
    image.save(path, **keys)
    return str(path)


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(header, *chunks):
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(chunks) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_lossless_kinds_give_the_exact_pixels(tmp_path, kind):
    loaded = load_image(save(tmp_path / "a", Image.fromarray(HALVES), format=kind, lossless=True))

    assert np.array_equal(loaded.pixels, HALVES)
    assert (loaded.alpha, loaded.notes) == (None, ())


def test_digest_is_sha256_of_the_file(tmp_path):
    path = tmp_path / "a.png"
    save(path, Image.fromarray(HALVES))

    assert load_image(str(path)).digest == hashlib.sha256(path.read_bytes()).digest()


@pytest.mark.rule("img-01")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_truncated_files_are_refused_after_the_full_decode(tmp_path, kind):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(buffer, kind)
    path = tmp_path / "a"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 2 // 3])

    with pytest.raises(DataError, match="cannot be read") as refused:
        load_image(str(path))
    assert refused.value.where == str(path)


@pytest.mark.rule("img-01")
def test_damaged_pixel_data_are_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0), png_chunk(b"IDAT", b"no zlib stream")))

    with pytest.raises(DataError, match="cannot be read"):
        load_image(str(path))


@pytest.mark.rule("img-02")
def test_content_counts_not_the_name(tmp_path):
    loaded = load_image(save(tmp_path / "a.jpg", Image.fromarray(HALVES), format="PNG"))

    assert np.array_equal(loaded.pixels, HALVES)


@pytest.mark.rule("img-03")
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    row = zlib.compress(b"\x00" * 1000)
    path.write_bytes(png(struct.pack(">IIBBBBB", 29_000, 29_000, 8, 2, 0, 0, 0), png_chunk(b"IDAT", row)))

    with pytest.raises(DataError, match="too large: 29000x29000 pixels"):
        load_image(str(path))


@pytest.mark.rule("img-03")
def test_the_limit_is_a_setting(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(HALVES))

    load_image(path, PictureLimits(max_pixels=24))
    with pytest.raises(DataError, match="too large: 6x4 pixels"):
        load_image(path, PictureLimits(max_pixels=23))


@pytest.mark.rule("img-04")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.webp", Image.fromarray(HALVES), exif=exif.tobytes(), lossless=True)

    assert np.array_equal(load_image(path).pixels, np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB")))


@pytest.mark.rule("img-04")
def test_broken_exif_is_ignored_with_a_note(tmp_path):
    loaded = load_image(save(tmp_path / "a.jpg", Image.fromarray(HALVES), exif=b"Exif\x00\x00garbage"))

    assert loaded.pixels.shape == (4, 6, 3)
    assert loaded.notes == ("broken EXIF data were ignored",)


@pytest.mark.rule("img-05")
@pytest.mark.parametrize("profile", [None, b"no profile at all"])
def test_cmyk_is_converted_with_a_note(tmp_path, profile):
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))

    loaded = load_image(save(tmp_path / "a.jpg", red, quality=95, icc_profile=profile))

    assert loaded.notes == ("CMYK was converted to RGB",)
    assert loaded.pixels[8, 8, 0] > 240
    assert loaded.pixels[8, 8, 1] < 15


@pytest.mark.rule("img-06")
def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    grey = np.array([[0, 257, 32768, 65535]], np.uint16)

    loaded = load_image(save(tmp_path / "a.png", Image.fromarray(grey)))

    assert loaded.pixels[0, :, 0].tolist() == [0, 1, 128, 255]
    assert loaded.notes == ("16-bit grey was scaled to 8 bits",)


@pytest.mark.rule("img-06")
def test_16_bit_colour_keeps_its_range(tmp_path):
    path = tmp_path / "a.png"
    row = b"\x00" + struct.pack(">6H", 65535, 32896, 0, 0, 257, 65535)
    path.write_bytes(png(struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0), png_chunk(b"IDAT", zlib.compress(row))))

    assert load_image(str(path)).pixels.tolist() == [[[255, 128, 0], [0, 1, 255]]]


@pytest.mark.rule("img-06")
def test_float_pixels_are_refused():
    with pytest.raises(DataError) as refused:
        to_rgb(Image.new("F", (6, 4)), (255, 255, 255), "a.png", [])
    assert refused.value.why == "Its pixels are floating-point numbers, whose range is unknown."


@pytest.mark.rule("img-07")
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_parts_show_the_background_never_hidden_colours(tmp_path, kind):
    image = np.zeros((2, 2, 4), np.uint8)
    image[0, :] = (200, 10, 10, 255)
    image[1, 0] = (1, 2, 3, 0)
    image[1, 1] = (0, 0, 0, 128)

    path = save(tmp_path / "a", Image.fromarray(image), format=kind, lossless=True, exact=True)
    loaded = load_image(path)

    assert loaded.pixels[0, 0].tolist() == [200, 10, 10]
    assert loaded.pixels[1].tolist() == [[255, 255, 255], [127, 127, 127]]
    assert loaded.alpha.tolist() == [[255, 255], [0, 128]]
    assert load_image(path, background=(0, 255, 0)).pixels[1, 0].tolist() == [0, 255, 0]


@pytest.mark.rule("img-07")
def test_palette_transparency_is_composited(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([250, 0, 0, 0, 0, 250])
    image.putdata([0, 1])

    loaded = load_image(save(tmp_path / "a.png", image, transparency=1))

    assert loaded.pixels.tolist() == [[[250, 0, 0], [255, 255, 255]]]
    assert loaded.alpha.tolist() == [[255, 0]]


@pytest.mark.rule("img-07")
@pytest.mark.parametrize(
    ("mode", "color", "expected"), [("LA", (30, 0), 255), ("LA", (30, 255), 30), ("L", 30, 30), ("1", 1, 255)]
)
def test_grey_modes(tmp_path, mode, color, expected):
    loaded = load_image(save(tmp_path / "a.png", Image.new(mode, (2, 2), color)))

    assert loaded.pixels[0, 0].tolist() == [expected] * 3


@pytest.mark.rule("img-08")
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_used_with_a_note(tmp_path, kind):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:], lossless=True)

    loaded = load_image(str(tmp_path / "a"))

    assert loaded.pixels[4, 4].tolist() == [255, 0, 0]
    assert "only the first frame of the animation is used" in loaded.notes


@pytest.mark.rule("img-09")
@pytest.mark.parametrize("compressed", [True, False])
def test_megabytes_of_text_inside_a_png_do_no_harm(tmp_path, compressed):
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a" * 3_000_000, zip=compressed)

    loaded = load_image(save(tmp_path / "a.png", Image.fromarray(HALVES), pnginfo=text))

    assert np.array_equal(loaded.pixels, HALVES)


@pytest.mark.rule("img-09")
def test_left_away_texts_are_noted(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a" * 3_000_000, zip=True)

    (note,) = load_image(save(tmp_path / "a.png", Image.fromarray(HALVES), pnginfo=text)).notes

    assert note.startswith("texts inside the file were left away")


@pytest.mark.rule("img-10")
def test_a_single_pixel_can_be_read_when_the_limit_allows_it(tmp_path):
    assert load_image(save(tmp_path / "a.png", Image.new("RGB", (1, 1), "red"))).pixels.tolist() == [[[255, 0, 0]]]


def corpus():
    image = Image.effect_noise((40, 30), 80).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, keys in (
        ("PNG", {"exif": exif.tobytes()}),
        ("JPEG", {"exif": exif.tobytes()}),
        ("WEBP", {"exif": exif.tobytes()}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, kind, **keys)
        yield buffer.getvalue()


@pytest.mark.rule("img-01")
@pytest.mark.filterwarnings("ignore")
def test_damage_of_any_kind_gives_a_picture_or_a_data_error(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a"
    refused = 0
    for content in corpus():
        for _ in range(60):
            damaged = bytearray(content)
            for place in rng.integers(0, min(len(damaged), 200), rng.integers(1, 6)):
                damaged[place] = rng.integers(0, 256)
            if rng.random() < 0.3:
                damaged = damaged[: rng.integers(0, len(damaged))]
            path.write_bytes(damaged)
            try:
                assert load_image(str(path), PictureLimits(max_pixels=1_000_000)).pixels.shape[2] == 3
            except DataError as error:
                assert error.where == str(path)
                refused += 1
    assert 100 < refused < 350
