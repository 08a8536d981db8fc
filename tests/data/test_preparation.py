import random

import numpy as np
import pytest
from PIL import Image
from tanren.data.preparation import Variation, prepare_control, prepare_picture, recorded_crop, variation_of
from tanren.data.records import ImageRecord
from tanren.formats.picture_header import PictureLimits
from tanren.options.dataset_plan import DREAMBOOTH, DatasetPlan, SubsetPlan

PLAIN = Variation(False, None)
FLIPPED = Variation(True, None)


def plan(**keys):
    subset = SubsetPlan(kind=DREAMBOOTH, image_dir="x", where="test", **keys)
    return DatasetPlan(subsets=(subset,), resolution_wh=(64, 64), enable_bucket=True)


def saved(tmp_path, array, name="a.png", bucket=(64, 64), resized=(64, 64), **keys):
    Image.fromarray(array).save(tmp_path / name)
    size = (array.shape[1], array.shape[0])
    return ImageRecord(str(tmp_path), name, size, "", "file", 1, 0, False, bucket, resized, **keys)


def prepared(record, variation=PLAIN, **keys):
    return prepare_picture(record, plan(**keys), variation, PictureLimits(), 8)


def columns(width, height):
    """Every column has its own brightness."""
    return np.repeat(np.arange(width, dtype=np.uint8)[None, :, None] * np.ones((height, 1, 3), np.uint8), 1, axis=0)


def test_the_middle_is_cropped(tmp_path):
    picture = prepared(saved(tmp_path, columns(71, 64), resized=(71, 64)))

    assert picture.pixels[0, :, 0].tolist() == list(range(3, 67))
    assert picture.mask is None


def test_a_flip_mirrors_pixels_and_mask(tmp_path):
    image = np.dstack([columns(64, 64), columns(64, 64)[:, :, 0] * 4])
    record = saved(tmp_path, image)

    plain, flipped = prepared(record, alpha_mask=True), prepared(record, FLIPPED, alpha_mask=True)

    assert np.array_equal(plain.pixels[:, ::-1], flipped.pixels)
    assert np.array_equal(plain.mask[:, ::-1], flipped.mask)
    assert plain.digest == flipped.digest


def test_alpha_is_averaged_over_latent_cells(tmp_path):
    image = np.full((64, 64, 4), 255, np.uint8)
    image[:, :4, 3] = 0

    mask = prepared(saved(tmp_path, image), alpha_mask=True).mask

    assert mask.shape == (8, 8)
    assert mask[0].tolist() == [0.5] + [1.0] * 7


def test_without_alpha_mask_alpha_only_shows_the_background(tmp_path):
    image = np.zeros((64, 64, 4), np.uint8)

    picture = prepared(saved(tmp_path, image))

    assert (picture.pixels == 255).all()
    assert picture.mask is None


def test_a_mask_picture_is_resized_and_cropped_like_the_photo(tmp_path):
    mask = np.zeros((64, 128, 3), np.uint8)
    mask[:, 64:, 0] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    record = saved(tmp_path, np.zeros((64, 128, 3), np.uint8), resized=(128, 64), mask_path=str(tmp_path / "mask.png"))

    picture = prepared(record)

    assert picture.mask[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(picture.digest) == 64


def test_random_crops_differ_and_repeat_with_the_same_draw(tmp_path):
    record = saved(tmp_path, columns(128, 64), resized=(128, 64))

    def first_column(seed):
        variation = variation_of(plan(random_crop=True).subsets[0], random.Random(seed))
        return prepared(record, variation, random_crop=True).pixels[0, 0, 0]

    assert first_column(1) == first_column(1)
    assert len({int(first_column(seed)) for seed in range(8)}) > 3


def test_half_of_the_draws_are_mirrored():
    subset = plan(flip_aug=True).subsets[0]

    flips = sum(variation_of(subset, random.Random(seed)).flipped for seed in range(1000))

    assert 440 <= flips <= 560
    assert not variation_of(plan().subsets[0], random.Random(0)).flipped


def test_a_picture_that_changed_its_size_still_fills_its_bucket(tmp_path):
    record = saved(tmp_path, columns(100, 80), resized=(80, 64))
    record.size_wh, record.resized_wh = (640, 640), (64, 64)

    assert prepared(record).pixels.shape == (64, 64, 3)


def test_face_crops_follow_the_file_name(tmp_path):
    image = np.zeros((200, 200, 3), np.uint8)
    image[90:110, 140:160] = 255
    record = saved(tmp_path, image, name="p_150_100_20_20.png", resized=(200, 200))
    face = {"face_crop_aug_range": (3.0, 3.0)}

    picture = prepared(record, variation_of(plan(**face).subsets[0], random.Random(0)), **face)

    bright = np.argwhere(picture.pixels[:, :, 0] > 128)
    assert picture.pixels.shape == (64, 64, 3)
    assert abs(bright.mean(axis=0) - 31.5).max() < 2


@pytest.mark.parametrize(("flipped", "crop"), [(False, (6, 0)), (True, (6, 0))])
def test_recorded_crop_of_a_wide_picture(tmp_path, flipped, crop):
    record = ImageRecord("f", "a", (1920, 1080), "", "file", 1, 0, False, (1344, 768), (1365, 768))

    assert recorded_crop(record, plan(), flipped=flipped, is_cached=False) == crop


def test_recorded_crop_is_mirrored_with_the_picture():
    record = ImageRecord("f", "a", (800, 600), "", "file", 1, 0, False, (640, 384), (640, 480))
    without_buckets = DatasetPlan(subsets=plan().subsets, resolution_wh=(640, 384))

    assert recorded_crop(record, plan(), flipped=False, is_cached=False) == (0, 64)
    assert recorded_crop(record, plan(), flipped=True, is_cached=False) == (0, 64)
    assert recorded_crop(record, without_buckets, flipped=False, is_cached=False) == (0, 0)
    assert recorded_crop(record, without_buckets, flipped=False, is_cached=True) == (0, 64)


def test_a_control_picture_is_resized_cropped_and_mirrored_like_the_photo_and_keeps_its_colours(tmp_path):
    image = np.dstack([columns(142, 128)[:, :, 0]] * 2 + [np.full((128, 142), 77, np.uint8)])
    Image.fromarray(image).save(tmp_path / "control.png")
    record = saved(tmp_path, image, resized=(71, 64), control_path=str(tmp_path / "control.png"))

    plain, flipped = prepared(record, color_aug=True), prepared(record, FLIPPED)

    assert np.array_equal(plain.control, plain.pixels)
    assert np.array_equal(flipped.control, plain.control[:, ::-1])
    for is_flipped, whole in ((False, plain), (True, flipped)):
        alone = prepare_control(record, plan(), PictureLimits(), flipped=is_flipped)
        assert np.array_equal(alone, whole.control)


def test_a_smaller_control_picture_is_fitted_as_its_photo_is(tmp_path):
    Image.fromarray(columns(36, 32)).save(tmp_path / "control.png")
    record = saved(tmp_path, columns(72, 64), resized=(72, 64), control_path=str(tmp_path / "control.png"))

    assert prepared(record).control.shape == (64, 64, 3)
    # The middle of 72 columns, each control column being two wide.
    assert abs(int(prepared(record).control[0, 0, 0]) - 2) <= 1


def test_colours_are_varied_in_the_photo_only(tmp_path):
    Image.fromarray(columns(64, 64)).save(tmp_path / "control.png")
    record = saved(tmp_path, columns(64, 64), control_path=str(tmp_path / "control.png"))

    pictures = [prepared(record, Variation(False, random.Random(seed)), color_aug=True) for seed in range(12)]

    assert any(not np.array_equal(picture.pixels, picture.control) for picture in pictures)
    assert all(np.array_equal(picture.control, columns(64, 64)) for picture in pictures)


def test_a_picture_without_control_picture_has_none(tmp_path):
    record = saved(tmp_path, columns(64, 64))

    assert prepared(record).control is None
    assert prepare_control(record, plan(), PictureLimits(), flipped=False) is None
