"""Drawing from pictures, in part, and in two stages."""

import numpy as np
import pytest
from generation.drawing import half_mask, scene
from PIL import Image
from tanren.generate import main

pytestmark = pytest.mark.filterwarnings("ignore:__array")


def difference(one, other):
    return int(np.abs(one - other).max())


def far_from(pixels, path):
    """Mean distance from a picture, in levels."""
    return float(np.abs(pixels - np.asarray(Image.open(path), dtype=np.int16)).mean())


@pytest.fixture(scope="module")
def start(place):
    return scene(place / "begin.png", (200, 30, 30))


@pytest.mark.option("image_path", "strength")
@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "lms", "dpm_2", "pndm"])
def test_the_strength_says_how_many_steps_are_drawn_on_a_picture(studio, start, sampler):
    words = (f"--image_path={start}", f"--sampler={sampler}")
    weak, strong = studio.pixels(*words, "--strength=0.25"), studio.pixels(*words, "--strength=1")
    untouched = studio.pixels(*words, "--strength=0")

    assert difference(weak, strong) > 0
    assert difference(untouched, weak) > 0
    assert difference(untouched, studio.pixels(f"--image_path={start}", "--strength=0")) == 0


def test_another_picture_to_begin_with_gives_another_picture(studio, start, place):
    other = scene(place / "other begin.png", (20, 60, 220))
    one, two = (studio.pixels(f"--image_path={path}", "--strength=0.5") for path in (start, other))
    assert difference(one, two) > 0


@pytest.mark.option("mask_path")
def test_black_parts_of_a_mask_stay_as_they_are_and_white_ones_are_drawn(studio, start, place):
    mask = half_mask(place / "mask.png")

    drawn = studio.pixels(f"--image_path={start}", f"--mask_path={mask}", "--strength=1")

    original = np.asarray(Image.open(start), dtype=np.int16)
    assert difference(drawn[:, 32:], original[:, 32:]) == 0
    assert difference(drawn[:, :32], original[:, :32]) > 0


@pytest.mark.option("use_original_file_name")
def test_pictures_are_called_as_those_that_they_were_drawn_from(studio, start):
    words = (f"--image_path={start}", "--use_original_file_name", "--images_per_prompt=2")
    assert [picture.path.name for picture in studio.draw(*words)] == ["begin.png", "begin_2.png"]


def test_as_many_masks_as_pictures_are_needed(studio, place, capfd):
    for name in ("pictures", "masks"):
        (place / name).mkdir()
    for index in range(3):
        scene(place / "pictures" / f"{index}.png", (0, 0, 0))
    for index in range(2):
        half_mask(place / "masks" / f"{index}.png")
    words = [f"--ckpt={studio.model}", "--prompt=a"]

    assert main("sdxl_gen_img", [*words, f"--image_path={place / 'pictures'}", f"--mask_path={place / 'masks'}"]) == 2
    assert "--mask_path: There are 2 masks for 3 pictures." in capfd.readouterr().err


def test_a_file_that_is_no_picture_is_refused(studio, place, capfd):
    (place / "broken.png").write_bytes(b"no picture")
    words = [f"--ckpt={studio.model}", "--prompt=a", f"--image_path={place / 'broken.png'}"]
    assert main("sdxl_gen_img", words) == 3
    assert "broken.png" in capfd.readouterr().err


LARGE = ("--W=128", "--H=128", "--highres_fix_scale=0.5")


@pytest.mark.option("highres_fix_scale", "highres_fix_save_1st", "highres_fix_steps")
def test_two_stages_draw_small_first_and_keep_both_when_asked(studio):
    first, second = studio.draw(*LARGE, "--highres_fix_steps=4", "--highres_fix_save_1st")

    assert [picture.path.stem.split("_")[2] for picture in (first, second)] == ["0000", "1000"]
    assert (first.pixels.shape, second.pixels.shape) == ((64, 64, 3), (128, 128, 3))
    assert difference(first.pixels, studio.pixels()) == 0
    (other, _) = studio.draw(*LARGE, "--highres_fix_steps=6", "--highres_fix_save_1st")
    assert difference(first.pixels, other.pixels) > 0


def test_the_first_stage_is_told_sizes_and_crops_of_its_scale(studio):
    told = ("--original_width=256", "--original_height_negative=512", "--crop_top=64", "--crop_left=32")
    half = ("--original_width=128", "--original_height_negative=256", "--crop_top=32", "--crop_left=16")
    first, _ = studio.draw(*LARGE, *told, "--highres_fix_steps=4", "--highres_fix_save_1st")

    assert difference(first.pixels, studio.pixels(*half)) == 0
    assert difference(first.pixels, studio.pixels(*told)) > 0
    assert {key: first.facts[key] for key in ("steps", "original-width", "original-height", "crop-top")} == {
        "steps": "4",
        "original-width": "128",
        "original-height": "64",
        "crop-top": "32",
    }


def test_both_stages_of_a_picture_have_the_same_number(studio):
    words = (*LARGE, "--highres_fix_steps=1", "--steps=1", "--sequential_file_name", "--images_per_prompt=2")
    numbers = ["000001", "000002"]
    assert [picture.path.stem for picture in studio.draw(*words)] == [f"im_1{number}" for number in numbers]
    both = studio.draw(*words, "--highres_fix_save_1st")
    assert [picture.path.stem for picture in both] == [f"im_{stage}{number}" for stage in "01" for number in numbers]


@pytest.mark.option("highres_fix_latents_upscaling", "strength")
def test_the_second_stage_begins_with_the_enlarged_first_one(studio):
    words = (*LARGE, "--highres_fix_steps=4")
    pictures = [
        studio.pixels(*words, "--strength=0"),
        studio.pixels(*words, "--strength=0", "--highres_fix_latents_upscaling"),
        studio.pixels(*words, "--strength=0.5"),
    ]
    assert min(difference(pictures[0], pictures[1]), difference(pictures[0], pictures[2])) > 0


@pytest.mark.option("highres_fix_strength")
def test_the_first_stage_may_have_another_strength(studio, start):
    words = (f"--image_path={start}", *LARGE, "--highres_fix_steps=4", "--strength=0.5")
    assert difference(studio.pixels(*words), studio.pixels(*words, "--highres_fix_strength=1")) > 0
