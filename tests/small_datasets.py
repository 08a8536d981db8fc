"""Small data sets for tests."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from tanren.data.batch import LatentGeometry
from tanren.data.dataset import BucketDataset
from tanren.data.scan import scan
from tanren.errors import Problems
from tanren.events import Report
from tanren.options.caching import CachingOptions
from tanren.options.dataset import DatasetOptions
from tanren.options.dataset_plan import DREAMBOOTH, DatasetPlan, SubsetPlan
from tanren.options.spec import Settings
from tanren.options.training import TrainingOptions

GEOMETRY = LatentGeometry(channels=4, downscale=8, scale=1.0)


def noise_picture(path: Path, size=(64, 64), text: str | None = None, alpha: bool = False) -> Path:
    """A picture of noise that depends on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 4 if alpha else 3), dtype=np.uint8)).save(path)
    if text is not None:
        path.with_suffix(".txt").write_text(text, "utf-8")
    return path


def subset(folder, **keys) -> SubsetPlan:
    defaults = {"kind": DREAMBOOTH, "image_dir": str(folder), "where": "test", "caption_extension": ".txt"}
    return SubsetPlan(**{**defaults, **keys})


def plan(*subsets, **keys) -> DatasetPlan:
    return DatasetPlan(subsets=subsets, **{"resolution_wh": (64, 64), **keys})


def dataset(*plans, seed=0, events=None, caching=None, data=None, **training) -> BucketDataset:
    """Scan and build; `events` collects what is reported."""
    options = DatasetOptions(**(data or {}))
    training = {"max_data_loader_n_workers": 0, **training}
    settings = Settings("train_network", [options, CachingOptions(**(caching or {})), TrainingOptions(**training)])
    problems = Problems()
    found = scan(plans, options, None, problems, seed=seed)
    problems.raise_if_any()
    return BucketDataset(found, settings, GEOMETRY, seed, Report([] if events is None else [events.append]))
