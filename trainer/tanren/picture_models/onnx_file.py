"""ONNX models: opened with onnxruntime, asked for their shapes, run on numpy arrays."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EnvironmentProblem, ModelFileError, NumericError, UsageError
from ..events import Report

Floats = NDArray[np.float32]
DEVICES = ("auto", "cpu", "cuda")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
INPUT_TYPES: dict[str, type[np.floating[Any]]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}
ERRORS_ONLY = 3


@dataclass(frozen=True)
class OnnxModel:
    """A model with one picture batch as its input.

    Args:
        path: its file.
        session: onnxruntime's.
        input_name: of the only input.
        input_shape: its axes; None where any length will do.
        dtype: of the input.
    """

    path: Path
    session: Any
    input_name: str
    input_shape: tuple[int | None, ...]
    dtype: type[np.floating[Any]]

    @property
    def batch_size(self) -> int | None:
        """The number of pictures that every call must have, or None."""
        return self.input_shape[0]

    def run(self, batch: Floats) -> list[Floats]:
        """All outputs for a batch, as float32. A model of a fixed batch size gets blank pictures to fill it up.

        Raises:
            ModelFileError: the model cannot compute this.
            NumericError: the outputs are not finite.
        """
        fixed = self.batch_size
        if fixed is not None and len(batch) > fixed:
            parts = [self.run(batch[start : start + fixed]) for start in range(0, len(batch), fixed)]
            return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
        missing = 0 if fixed is None else fixed - len(batch)
        filled = np.pad(batch, [(0, missing), *[(0, 0)] * (batch.ndim - 1)])
        try:
            outputs = self.session.run(None, {self.input_name: filled.astype(self.dtype)})
        except Exception as error:  # onnxruntime's errors have no other class in common.
            raise ModelFileError(
                where=str(self.path),
                what="The model cannot compute this picture.",
                why=first_line(error),
                fix="Try --device cpu and --batch-size 1, or take another model.",
            ) from error
        results = [np.asarray(output, np.float32)[: len(batch)] for output in outputs]
        if not all(np.isfinite(result).all() for result in results):
            raise NumericError(
                where=str(self.path), what="The model's numbers became infinite or NaN.", fix="Try --device cpu."
            )
        return results


def open_onnx(path: Path, device: str, report: Report) -> OnnxModel:
    """Open a model.

    Args:
        path: an .onnx file.
        device: "auto" takes a CUDA GPU when onnxruntime can use one, else the CPU.
        report: told when a GPU that was found could not be used after all.

    Raises:
        EnvironmentProblem: onnxruntime is missing, or cannot use the device.
        ModelFileError: damaged, or not a model with one input of numbers.
    """
    runtime = _onnxruntime()
    providers = _providers(device, runtime.get_available_providers())
    options = runtime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    try:
        session = runtime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's errors have no other class in common.
        raise ModelFileError(
            where=str(path),
            what="The file cannot be opened as an ONNX model.",
            why=first_line(error),
            fix="Download it anew; a model that keeps its weights in a second file needs that one beside it.",
        ) from error
    if CUDA in providers and CUDA not in session.get_providers():
        if device == "cuda":
            raise _no_cuda("CUDA's libraries do not fit this onnxruntime.")
        report.warning("onnxruntime could not use the GPU; the model runs on the CPU.")
    return _with_one_input(path, session)


def first_line(error: BaseException) -> str:
    """What a library says, short enough for a message."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _onnxruntime() -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise EnvironmentProblem(
            what="The package onnxruntime is missing, which runs ONNX models.",
            why=str(error),
            fix="`python launch.py setup --with tagging` installs it into the trainer's environment; "
            f'with pip: "{sys.executable}" -m pip install onnxruntime',
        ) from error
    return onnxruntime


def _providers(device: str, available: list[str]) -> list[str]:
    if device not in DEVICES:
        raise UsageError(where="--device", what=f"{device!r} is not known.", fix="Write auto, cpu or cuda.")
    if device == "cuda" and CUDA not in available:
        raise _no_cuda("This onnxruntime was built without CUDA.")
    return [CUDA, CPU] if device != "cpu" and CUDA in available else [CPU]


def _no_cuda(why: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        where="--device cuda",
        what="onnxruntime cannot use the GPU.",
        why=why,
        fix=f'Leave --device out to use the CPU, or install the GPU build: "{sys.executable}" -m pip install '
        "onnxruntime-gpu (after uninstalling onnxruntime).",
    )


def _with_one_input(path: Path, session: Any) -> OnnxModel:
    inputs = session.get_inputs()
    dtype = INPUT_TYPES.get(inputs[0].type) if len(inputs) == 1 else None
    if dtype is None:
        found = ", ".join(f"{item.name}: {item.type}" for item in inputs)
        raise ModelFileError(
            where=str(path),
            what="The model does not take one batch of pictures.",
            why=f"Its inputs: {found or 'none'}.",
            fix="Take a model made for this purpose.",
        )
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in inputs[0].shape)
    return OnnxModel(path, session, inputs[0].name, shape, dtype)
