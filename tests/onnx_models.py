"""Small ONNX models with known outputs, in the shapes of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Category 9 is a rating, 0 a general tag, 4 a character.
LABELS = (
    ("general", 9),
    ("explicit", 9),
    ("blue_sky", 0),
    ("green_eyes", 0),
    ("red_hair", 0),
    (">_<", 0),
    ("lum_(urusei_yatsura)", 4),
)
# Weights of the mean blue, green and red (0..1), and what is added: one row per label.
ANSWERS = (
    (0, 0, 0, 0.6),
    (0, 0, 0, 0.1),
    (1, 0, 0, 0),
    (0, 1, 0, 0),
    (0, 0, 1, 0),
    (0, 0, 0, 0.4),
    (0, 1, 0, -0.2),
)


def write_tagger(folder: Path, side: int | str = 8, *, batch: int | str = "N", labels=LABELS, answers=ANSWERS) -> Path:
    """A tagger that answers with the mean colours: "blue_sky" as likely as the picture is blue, and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = np.array([row[:3] for row in answers], np.float32).T / 255
    nodes = [
        helper.make_node("ReduceMean", ["in"], ["colours"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["colours", "weights"], ["sums"]),
        helper.make_node("Add", ["sums", "added"], ["raised"]),
        helper.make_node("Clip", ["raised", "zero", "one"], ["out"]),
    ]
    constants = {
        "weights": weights,
        "added": np.array([row[3] for row in answers], np.float32),
        "zero": np.float32(0),
        "one": np.float32(1),
    }
    _save(folder / "model.onnx", nodes, [batch, side, side, 3], [batch, len(answers)], constants)
    rows = [f"{number},{name},{category},{100 - number}" for number, (name, category) in enumerate(labels)]
    (folder / "selected_tags.csv").write_text("\n".join(["tag_id,name,category,count", *rows]) + "\n", "utf-8")
    return folder


def write_first_colour(path: Path, size_hw: tuple = (16, 16), *, keepdims: bool = True) -> Path:
    """One plane per picture: the first colour as it comes in; (1, 1, H, W), or (1, H, W) without `keepdims`."""
    nodes = [
        helper.make_node("Gather", ["in", "first"], ["plane" if keepdims else "out"], axis=1),
        *([helper.make_node("Unsqueeze", ["plane", "axis"], ["out"])] if keepdims else []),
    ]
    constants = {"first": np.int64(0), **({"axis": np.array([1])} if keepdims else {})}
    shape = [1, 1, *size_hw] if keepdims else [1, *size_hw]
    _save(path, nodes, [1, 3, *size_hw], shape, constants)
    return path


def write_detector(path: Path, rows, side: int = 64) -> Path:
    """A detector that finds the same boxes in every picture.

    Args:
        rows: of (centre x, centre y, width, height, certainty), in pixels of the input.
    """
    boxes = np.array(rows, np.float32).T[None]
    nodes = [
        helper.make_node("ReduceMean", ["in"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["boxes", "nothing"], ["out"]),
    ]
    _save(path, nodes, [1, 3, side, side], list(boxes.shape), {"boxes": boxes, "zero": np.float32(0)})
    return path


def _save(path: Path, nodes, input_shape, output_shape, constants) -> None:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
