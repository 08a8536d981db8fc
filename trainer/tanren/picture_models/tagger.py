"""Taggers of the WD14 kind (v2 and v3): an ONNX model and `selected_tags.csv` beside it.

Input: (B, side, side, 3), blue first, 0..255, the picture in the middle of a white square, 448 pixels for the published
models. Output: one probability per line of the list. Source: the cards and demo of SmilingWolf's models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.images import Pixels
from ..errors import ModelFileError
from ..events import Report
from .onnx_file import Floats, OnnxModel, open_onnx
from .tag_choice import Label, read_labels

USUAL_SIDE = 448
LIST_NAME = "selected_tags.csv"
MODEL_FILES = ("model.onnx", LIST_NAME)
WHITE = (255, 255, 255)
# Half-precision models end a little above one.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class Tagger:
    """A model with the names of its outputs."""

    model: OnnxModel
    labels: tuple[Label, ...]

    @property
    def side(self) -> int:
        """Pixels of the square it looks at."""
        return self.model.input_shape[1] or USUAL_SIDE

    def scores(self, pictures: Sequence[Pixels]) -> Floats:
        """Probabilities, (pictures, labels).

        Args:
            pictures: each (H, W, 3), red first.

        Raises:
            ModelFileError: the outputs do not answer to the list of tags.
        """
        found = self.model.run(np.stack([prepared(picture, self.side) for picture in pictures]))[0]
        if found.shape != (len(pictures), len(self.labels)):
            raise ModelFileError(
                where=str(self.model.path),
                what=f"The model has {found.shape[-1]} outputs, {LIST_NAME} has {len(self.labels)} tags.",
                fix="Take both files from the same place.",
            )
        if found.min(initial=0) < -TOLERANCE or found.max(initial=0) > 1 + TOLERANCE:
            raise ModelFileError(
                where=str(self.model.path),
                what="The model's outputs are no probabilities.",
                fix="Take a tagger of the WD14 kind (v2 or v3).",
            )
        return found


def open_tagger(place: Path, device: str, report: Report) -> Tagger:
    """Open a tagger.

    Args:
        place: its folder, or the .onnx file with the list of tags beside it.
        device: as `open_onnx` takes it.

    Raises:
        ModelFileError: a file is missing, damaged or of another kind.
        EnvironmentProblem: onnxruntime is missing.
    """
    path = model_in(place)
    labels = read_labels(_list_beside(path))
    model = open_onnx(path, device, report)
    shape = model.input_shape
    if len(shape) != 4 or shape[3] not in (3, None) or shape[1] != shape[2]:
        raise ModelFileError(
            where=str(path),
            what=f"This is no tagger of the WD14 kind: its input has the shape {_shown(shape)}.",
            why="Those take square pictures with the colours last, such as 1×448×448×3.",
            fix="Take a tagger such as wd-swinv2-tagger-v3 or wd-v1-4-moat-tagger-v2.",
        )
    return Tagger(model, labels)


def prepared(picture: Pixels, side: int) -> Floats:
    """A picture (H, W, 3) in the middle of a white square, made `side` pixels large: (side, side, 3), blue first."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    square = Image.new("RGB", (longest, longest), WHITE)
    square.paste(Image.fromarray(picture), ((longest - width) // 2, (longest - height) // 2))
    if longest != side:
        square = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(square, np.float32)[:, :, ::-1]


def model_in(place: Path) -> Path:
    """The ONNX file itself, or the one that a folder holds.

    Raises:
        ModelFileError: there is none, or several and none is called model.onnx.
    """
    if place.is_file():
        return place
    for usual in (place / "model.onnx", place / "onnx" / "model.onnx"):
        if usual.is_file():
            return usual
    found = sorted(place.glob("*.onnx"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found)
    raise ModelFileError(
        where=str(place),
        what=f"The folder holds several ONNX models: {names}." if found else "The folder holds no ONNX model.",
        fix="Name the file itself; on the hub as owner/name/file.onnx.",
    )


def _list_beside(path: Path) -> Path:
    usual = path.with_name(LIST_NAME)
    if usual.is_file():
        return usual
    own = path.with_suffix(".csv")
    if own.is_file():
        return own
    raise ModelFileError(
        where=str(path),
        what=f"The list of tags is missing: {LIST_NAME} has to lie beside the model.",
        fix="Download it from where the model comes from, and put it into the same folder.",
    )


def _shown(shape: Sequence[int | None]) -> str:
    return "×".join("?" if side is None else str(side) for side in shape)
