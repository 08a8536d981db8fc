"""The preview of crops is what the trainer does to the same picture, pixel by pixel."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tanren.data.images import load_image
from tanren.data.preparation import Variation, prepare_picture
from tanren.data.resize import resize
from tanren.data.scan import scan
from tanren.errors import Problems, UsageError
from tanren.formats.picture_header import PictureLimits
from tanren.options.dataset import DatasetOptions
from tanren.options.dataset_plan import DREAMBOOTH, DatasetPlan, SubsetPlan
from tanren.preparation.fitting import cropper
from tanren.preparation.index import PictureIndex, Wanted

SIDES = st.integers(16, 150)
PLANS = st.fixed_dictionaries(
    {
        "resolution_wh": st.sampled_from([(64, 64), (96, 64), (128, 96)]),
        "enable_bucket": st.booleans(),
        "bucket_no_upscale": st.booleans(),
        "bucket_reso_steps": st.sampled_from([8, 16, 32]),
        "min_bucket_reso": st.just(32),
        "max_bucket_reso": st.sampled_from([128, 160]),
    }
)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.tuples(SIDES, SIDES, st.integers(1, 8)), min_size=1, max_size=4), PLANS)
def test_crops_are_those_of_training_picture_by_picture(pictures, keys):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        for number, (width, height, orientation) in enumerate(pictures):
            save_noise(folder / f"{number}.jpg", width, height, orientation)
        subset = SubsetPlan(kind=DREAMBOOTH, image_dir=str(folder), where="test", class_tokens="x")
        plan = DatasetPlan(subsets=(subset,), **keys)
        records = scan([plan], DatasetOptions(min_side=1), None, Problems()).datasets[0].images
        crop = cropper(plan, subset)
        rows = {row.name: row for row in PictureIndex(Path(name) / "cache").survey(folder, Wanted())}
        for record in records:
            row = rows[record.name]
            seen = crop((row.width, row.height))
            assert (seen.bucket_wh, seen.resized_wh) == (record.bucket_wh, record.resized_wh)
            trained = prepare_picture(record, plan, Variation(False, None), PictureLimits(), 8).pixels
            left, top = seen.left_top
            width, height = seen.bucket_wh
            whole = resize(load_image(record.path).pixels, seen.resized_wh)
            assert np.array_equal(trained, whole[top : top + height, left : left + width])


def save_noise(path: Path, width: int, height: int, orientation: int) -> None:
    pixels = random.Random(path.name).randbytes(width * height * 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.frombytes("RGB", (width, height), pixels).save(path, exif=exif)


def test_the_box_is_what_is_seen_of_the_picture_itself():
    plan = DatasetPlan(subsets=(), resolution_wh=(512, 512), enable_bucket=True)

    crop = cropper(plan)((1920, 1080))

    assert (crop.bucket_wh, crop.resized_wh, crop.left_top) == ((640, 384), (683, 384), (21, 0))
    left, top, right, bottom = crop.box
    assert (round(left), round(top), round(right), round(bottom)) == (59, 0, 1858, 1080)
    assert not crop.is_enlarged
    assert round(crop.share_lost, 3) == 0.063


def test_small_pictures_are_enlarged():
    assert cropper(DatasetPlan(subsets=(), resolution_wh=(512, 512)))((300, 300)).is_enlarged


def test_limits_that_do_not_enclose_the_resolution_are_refused():
    with pytest.raises(UsageError, match="does not bracket 2048x2048"):
        cropper(DatasetPlan(subsets=(), resolution_wh=(2048, 2048), enable_bucket=True))
