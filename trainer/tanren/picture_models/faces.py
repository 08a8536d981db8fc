"""Faces: boxes from a detector or a file, and crops around them.

Detector: ONNX files in the layout that Ultralytics' YOLOv8 exports: input (1, 3, H, W), RGB 0..1, the picture scaled to
fit and padded with grey 114 on all sides; output (1, 4 + classes, N): centre x, centre y, width, height in pixels of
the input, then a certainty per class. The published face detectors for photographs and for anime have this layout.

Boxes in a file: `{"picture.png": [[x, y, width, height], …], …}`, in pixels of the upright picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.images import Pixels
from ..errors import DataError, ModelFileError
from ..events import Report
from .onnx_file import Floats, OnnxModel, open_onnx

USUAL_SIDE = 640
GREY = (114, 114, 114)
COORDINATES = 4
# Boxes that share more than this of their area are one face.
SAME_FACE = 0.5
LARGEST_BOXES_FILE = 64 * 2**20


@dataclass(frozen=True)
class Box:
    """A face: left, top, width, height in pixels of the upright picture, and how certain it is."""

    left: float
    top: float
    width: float
    height: float
    score: float = 1.0


def open_detector(path: Path, device: str, report: Report) -> OnnxModel:
    """Open a detector.

    Raises:
        ModelFileError: damaged, or its input is not (1, 3, H, W).
        EnvironmentProblem: onnxruntime is missing.
    """
    model = open_onnx(path, device, report)
    if len(model.input_shape) != 4 or model.input_shape[1] not in (3, None):
        raise ModelFileError(
            where=str(path),
            what="This is no face detector in the layout that YOLOv8 exports.",
            fix="Take an .onnx file exported by Ultralytics, such as face_yolov8n exported to ONNX.",
        )
    return model


def find_faces(pixels: Pixels, model: OnnxModel, threshold: float) -> list[Box]:
    """The faces of a picture (H, W, 3), the most certain first.

    Args:
        threshold: the least certainty, 0..1.

    Raises:
        ModelFileError: the output has another layout.
    """
    height, width = pixels.shape[:2]
    side_wh = model.input_shape[3] or USUAL_SIDE, model.input_shape[2] or USUAL_SIDE
    scale = min(side_wh[0] / width, side_wh[1] / height)
    inner_wh = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (side_wh[0] - inner_wh[0]) // 2, (side_wh[1] - inner_wh[1]) // 2
    ground = Image.new("RGB", side_wh, GREY)
    ground.paste(Image.fromarray(pixels).resize(inner_wh, Image.Resampling.BILINEAR), (left, top))
    output = model.run(np.asarray(ground, np.float32).transpose(2, 0, 1)[None] / np.float32(255))[0]
    if output.ndim != 3 or output.shape[1] <= COORDINATES:
        shape = "×".join(map(str, output.shape))
        raise ModelFileError(
            where=str(model.path),
            what=f"The detector's output has the shape {shape}; YOLOv8's is 1×(4 + classes)×boxes.",
            fix="Export the detector anew with Ultralytics' `yolo export format=onnx`.",
        )
    found = [
        _clipped(row, width, height)
        for row in _decoded(output[0], (left, top), (inner_wh[0] / width, inner_wh[1] / height), threshold)
    ]
    return apart([box for box in found if box.width >= 1 and box.height >= 1])


def apart(boxes: Sequence[Box]) -> list[Box]:
    """Boxes of different faces, the most certain first (non-maximum suppression)."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if all(overlap(box, other) <= SAME_FACE for other in kept):
            kept.append(box)
    return kept


def overlap(one: Box, other: Box) -> float:
    """Area that two boxes share, as a part of the area that they cover together."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


def crop_box(box: Box, size_wh: tuple[int, int], margin: float, *, square: bool) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the crop around a face, inside the picture.

    Args:
        size_wh: of the picture.
        margin: how many times as wide and high as the face the crop is.
        square: as high as it is wide, as far as the picture allows.
    """
    width, height = box.width * margin, box.height * margin
    if square:
        width = height = min(max(width, height), *size_wh)
    width, height = min(width, size_wh[0]), min(height, size_wh[1])
    left = min(max(box.left + box.width / 2 - width / 2, 0), size_wh[0] - width)
    top = min(max(box.top + box.height / 2 - height / 2, 0), size_wh[1] - height)
    wide, high = max(1, round(width)), max(1, round(height))
    at = min(round(left), size_wh[0] - wide), min(round(top), size_wh[1] - high)
    return at[0], at[1], at[0] + wide, at[1] + high


def read_boxes(path: Path) -> dict[str, list[Box]]:
    """Boxes of a file, by picture.

    Raises:
        DataError: it is not such a file.
    """
    if path.stat().st_size > LARGEST_BOXES_FILE:
        raise DataError(where=str(path), what="The file is larger than 64 MiB.", fix="Check that it is the right one.")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(where=str(path), what="The file is not JSON.", why=str(error)[:200]) from error
    if not isinstance(content, dict):
        raise _no_boxes(path, "it is no object with a list per picture")
    return {name: [_box(path, name, item) for item in _items(path, name, content)] for name in content}


def _items(path: Path, name: str, content: Mapping[str, object]) -> list[object]:
    items = content[name]
    if not isinstance(items, list):
        raise _no_boxes(path, f"{name} has no list")
    return items


def _box(path: Path, name: str, item: object) -> Box:
    numbers = item if isinstance(item, list) else []
    if len(numbers) != COORDINATES or not all(type(number) in (int, float) for number in numbers):
        raise _no_boxes(path, f"{name} has {json.dumps(item)[:60]}")
    left, top, width, height = (float(number) for number in numbers)
    if not (0 <= left < 1e6 and 0 <= top < 1e6 and 1 <= width < 1e6 and 1 <= height < 1e6):
        raise _no_boxes(path, f"{name} has {json.dumps(item)[:60]}, which lies outside of any picture")
    return Box(left, top, width, height)


def _no_boxes(path: Path, why: str) -> DataError:
    return DataError(
        where=str(path),
        what=f"These are no boxes: {why}.",
        fix='Write {"picture.png": [[x, y, width, height]]}, in pixels.',
    )


def _decoded(
    rows: Floats, offset: tuple[int, int], scales: tuple[float, float], threshold: float
) -> list[tuple[float, float, float, float, float]]:
    """Left, top, right, bottom in pixels of the picture, and the certainty, of each box that is certain enough."""
    scores = rows[COORDINATES:].max(axis=0)
    found = []
    for index in np.flatnonzero(scores >= threshold):
        x, y, width, height = (float(value) for value in rows[:COORDINATES, index])
        left, right = ((edge - offset[0]) / scales[0] for edge in (x - width / 2, x + width / 2))
        top, bottom = ((edge - offset[1]) / scales[1] for edge in (y - height / 2, y + height / 2))
        found.append((left, top, right, bottom, float(scores[index])))
    return found


def _clipped(row: tuple[float, float, float, float, float], width: int, height: int) -> Box:
    left, right = (min(max(edge, 0.0), float(width)) for edge in (row[0], row[2]))
    top, bottom = (min(max(edge, 0.0), float(height)) for edge in (row[1], row[3]))
    return Box(left, top, right - left, bottom - top, row[4])
