"""What the page shows of buckets and crops is what the trainer does to the same folder, picture by picture."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import pytest

pytest.importorskip("starlette.testclient")
pytest.importorskip("httpx")

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tanren.data.preparation import Variation, prepare_picture
from tanren.data.scan import scan
from tanren.errors import Problems
from tanren.formats.picture_header import PictureLimits
from tanren.jobs.shelf import Shelf
from tanren.options.dataset import DatasetOptions
from tanren.options.dataset_plan import DREAMBOOTH, DatasetPlan, SubsetPlan
from tanren.ui import routes
from tanren.ui.answers import Desk
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone
from tanren.ui.static_files import StaticFiles

PATIENCE = 300
TURNED = Image.Transpose
# What makes the stored picture of an upright one, by EXIF orientation.
STORED = {
    2: TURNED.FLIP_LEFT_RIGHT,
    3: TURNED.ROTATE_180,
    4: TURNED.FLIP_TOP_BOTTOM,
    5: TURNED.TRANSPOSE,
    6: TURNED.ROTATE_90,
    7: TURNED.TRANSVERSE,
    8: TURNED.ROTATE_270,
}
VIEWS = st.fixed_dictionaries(
    {"resolution": st.sampled_from(["128", "256,192", "192,320", "512"])},
    optional={
        "bucket": st.booleans(),
        "no_upscale": st.booleans(),
        "steps": st.sampled_from([32, 64, 8]),
        "shortest": st.sampled_from([64, 96, 128]),
        "longest": st.sampled_from([320, 512, 640]),
    },
)
PICTURES = st.lists(
    st.tuples(
        st.integers(70, 400),
        st.integers(70, 400),
        st.integers(1, 8),
        st.sampled_from(["jpg", "png", "webp", "alpha.png"]),
    ),
    min_size=1,
    max_size=4,
)


def save_map(path: Path, width: int, height: int, orientation: int) -> None:
    """A picture whose red says how far right a place is, whose green how far down, upright; some with transparency."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    planes = [red, green, np.zeros((height, width))]
    if "alpha" in path.name:
        planes.append(np.full((height, width), 255) - (np.indices((height, width)).sum(0) == 0) * 200)
    image = Image.fromarray(np.stack(planes, -1).round().astype(np.uint8))
    if orientation in STORED:
        image = image.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, quality=95)


def page_on(folder: Path, data: Path) -> TestClient:
    around = Standalone(data)
    app = Starlette()
    routes.install(app, Desk(around, Shelf(around.data_dir), Guard(around.access)), StaticFiles({}))
    return TestClient(app, base_url="http://127.0.0.1")


def told(page: TestClient, folder: Path, view: dict) -> tuple[dict, list[dict]]:
    """The overview and the rows, once all pictures were looked into."""
    question = {"folder": str(folder), "view": json.dumps(view)}
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = page.get("/tanren/api/data/overview?" + urlencode(question))
        if answer.status_code != 200 or answer.json()["progress"]["phase"] == "done":
            break
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if answer.status_code != 200:
        return answer.json(), []
    rows = page.get("/tanren/api/data/rows?" + urlencode({**question, "offset": 0, "count": 100})).json()["rows"]
    return answer.json(), rows


def plan_of(folder: Path, view: dict) -> DatasetPlan:
    """The same as a dataset file would say; limits that are not given are the trainer's where they fit."""
    sides = [int(side) for side in view["resolution"].split(",")]
    size = (sides[0], sides[-1])
    return DatasetPlan(
        subsets=(SubsetPlan(kind=DREAMBOOTH, image_dir=str(folder), where="test", class_tokens="x", num_repeats=3),),
        resolution_wh=size,
        enable_bucket=view.get("bucket", True),
        bucket_no_upscale=view.get("no_upscale", False),
        bucket_reso_steps=view.get("steps", 64),
        min_bucket_reso=view.get("shortest") or min(256, *size),
        max_bucket_reso=view.get("longest") or max(1024, *size),
    )


@settings(derandomize=True, deadline=None, max_examples=30)
@given(PICTURES, VIEWS)
def test_buckets_and_crops_that_are_shown_are_those_of_training(pictures, view):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "3_学習 (1)"
        folder.mkdir()
        for number, (width, height, orientation, kind) in enumerate(pictures):
            save_map(folder / f"{number}.{kind}", width, height, orientation)
        plan, problems = plan_of(folder, view), Problems()
        found = scan([plan], DatasetOptions(min_side=1), None, problems).datasets[0].images
        overview, rows = told(page_on(folder, Path(name) / "data"), folder, view)
        if "problem" in overview and not rows:
            assert [error.what for error in problems.errors] == [overview["problem"]["what"]]
            return
        shown = {row["name"]: row for row in rows if row["crop"]}
        assert list(shown) == [record.name for record in found]
        assert len(problems.errors) == len(rows) - len(shown)
        counts = Counter({(one["width"], one["height"]): one["count"] for one in overview["buckets"]})
        assert counts == Counter(record.bucket_wh for record in found for _ in range(record.repeats))
        for record in found:
            row = shown[record.name]
            assert tuple(row["crop"]["bucket"]) == record.bucket_wh
            assert f"{record.size_wh[0]}×{record.size_wh[1]}" == row["facts"][0]
            trained = prepare_picture(record, plan, Variation(False, None), PictureLimits(), 8).pixels
            assert trained.shape[1::-1] == record.bucket_wh
            assert seen_of(trained) == pytest.approx(row["crop"]["box"], abs=0.03), (record.name, row["crop"])


def seen_of(trained: np.ndarray) -> list[float]:
    """Left, top, right and bottom of what was trained, in shares of the picture, read from its own colours."""
    middle = trained[trained.shape[0] // 2, :, 0] / 255, trained[:, trained.shape[1] // 2, 1] / 255
    return [middle[0][0], middle[1][0], middle[0][-1], middle[1][-1]]


@pytest.mark.parametrize(
    ("view", "what"),
    [
        ({"resolution": "512", "longest": 320}, "does not bracket 512x512"),
        ({"resolution": "512", "shortest": -1}, "Sides of buckets have at most 16384 pixels."),
        ({"resolution": "512", "steps": 20}, "Steps of buckets are 8, 16, … 256."),
    ],
)
def test_sizes_that_training_refuses_are_refused_with_its_words(tmp_path, view, what):
    save_map(tmp_path / "1.png", 70, 70, 1)

    answer, _ = told(page_on(tmp_path, tmp_path / "data"), tmp_path, view)

    assert what in answer["problem"]["what"]


def test_a_picture_too_small_for_any_bucket_has_no_crop(tmp_path):
    save_map(tmp_path / "1.png", 70, 50, 1)

    _, (row,) = told(page_on(tmp_path, tmp_path / "data"), tmp_path, {"resolution": "512", "no_upscale": True})

    assert (row["crop"], row["facts"]) == (None, ["70×50", "PNG"])
