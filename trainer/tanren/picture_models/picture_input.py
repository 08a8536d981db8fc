"""Models that give one plane per picture (a mask, a depth): input (B, 3, H, W), first output (B, H, W)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.images import Pixels
from ..errors import ModelFileError, UsageError
from ..events import Report
from .onnx_file import Floats, OnnxModel, open_onnx

Colours = tuple[float, float, float]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALVES, ONES = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)
AUTO = "auto"
# A plane with fewer cells than this part of the input's pixels, in each direction, is something else.
COARSEST = 8


@dataclass(frozen=True)
class Kind:
    """How a family of models wants its input.

    Args:
        side: pixels of the square, where the model takes any.
        mean, std: subtracted from, and divided by, per colour.
        sigmoid: its outputs are logits.
    """

    side: int
    mean: Colours
    std: Colours
    sigmoid: bool = False


@dataclass(frozen=True)
class Kinds:
    """The families of one purpose.

    Args:
        by_name: what they are called.
        marks: part of a file's name -> family; the first that fits wins.
        usual: taken for files whose name says nothing.
    """

    by_name: Mapping[str, Kind]
    marks: Mapping[str, str]
    usual: str

    def choose(self, asked: str, file_name: str, report: Report) -> Kind:
        """The family that was asked for, or that the file's name tells.

        Raises:
            UsageError: an unknown one was asked for.
        """
        if asked == AUTO:
            asked = self._told_by(file_name, report)
        if asked not in self.by_name:
            names = ", ".join([AUTO, *self.by_name])
            raise UsageError(where="--kind", what=f"{asked!r} is not known.", fix=f"Kinds: {names}.")
        return self.by_name[asked]

    def _told_by(self, name: str, report: Report) -> str:
        lower = name.lower()
        for mark, kind in self.marks.items():
            if mark in lower:
                return kind
        report.warning(f"The name {name} does not tell the kind of the model; it is used as {self.usual} (see --kind).")
        return self.usual


@dataclass(frozen=True)
class PictureModel:
    """A model and how it wants its input."""

    model: OnnxModel
    kind: Kind

    @property
    def size_wh(self) -> tuple[int, int]:
        """Pixels of its input."""
        _, _, height, width = self.model.input_shape
        return width or self.kind.side, height or self.kind.side

    def normalised(self, values: Floats) -> Floats:
        """Colours (H, W, 3) in 0..1 as the model wants them, (1, 3, H, W)."""
        mean: Floats = np.array(self.kind.mean, np.float32)
        std: Floats = np.array(self.kind.std, np.float32)
        return np.asarray((values - mean) / std, np.float32).transpose(2, 0, 1)[None]

    def plane(self, values: Floats, what: str) -> Floats:
        """The first output for one picture, (h, w).

        Args:
            values: as `normalised` gives them.
            what: the output is, for messages.

        Raises:
            ModelFileError: the output has another shape.
        """
        output = self.model.run(values)[0]
        if output.ndim == 4:
            output = output[:, 0]
        if output.ndim != 3 or min(output.shape[1:]) * COARSEST < min(self.size_wh):
            shape = "×".join(map(str, output.shape))
            raise ModelFileError(
                where=str(self.model.path),
                what=f"The model's first output has the shape {shape}, which is no {what}.",
                fix="Take a model made for this purpose.",
            )
        return _sigmoid(output[0]) if self.kind.sigmoid else output[0]


def open_picture_model(path: Path, kinds: Kinds, asked: str, device: str, report: Report) -> PictureModel:
    """Open a model.

    Args:
        path: an .onnx file.
        kinds: of this purpose.
        asked: key of `kinds`, or "auto".
        device: as `open_onnx` takes it.

    Raises:
        UsageError: an unknown kind.
        ModelFileError: damaged, or its input is no picture.
    """
    kind = kinds.choose(asked, path.name, report)
    model = open_onnx(path, device, report)
    if len(model.input_shape) != 4 or model.input_shape[1] not in (3, None):
        shape = "×".join("?" if side is None else str(side) for side in model.input_shape)
        raise ModelFileError(
            where=str(path),
            what=f"The model does not take pictures with the colours first: its input has the shape {shape}.",
            fix="Take a model made for this purpose.",
        )
    return PictureModel(model, kind)


def stretched(values: Floats) -> Floats:
    """The smallest value becomes 0, the largest 1; values that are all the same become 0."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _sigmoid(values: Floats) -> Floats:
    """Without overflow for large negative values."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def as_pixels(values: Floats) -> Pixels:
    """0..1 as 0..255."""
    return (values.clip(0, 1) * 255).round().astype(np.uint8)
