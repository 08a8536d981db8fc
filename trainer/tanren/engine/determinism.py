"""Whether a GPU may compute the same numbers in another order each time."""

from __future__ import annotations

import os

import torch

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


def choose_algorithms(is_deterministic: bool) -> None:
    """Choose torch's algorithms for this process: the fastest, or those that give the same bits each time.

    Fast backward passes of attention add up what their blocks of threads have in the order in which these end; torch
    keeps them where it is only to warn. Where it knows no other way at all, it raises RuntimeError at the first step.
    Must come before the first product on the GPU, when cuBLAS decides about its workspaces
    (https://docs.nvidia.com/cuda/cublas, "Results reproducibility").
    """
    if is_deterministic:
        os.environ.setdefault(CUBLAS, ":4096:8")
    torch.use_deterministic_algorithms(is_deterministic)
    # Every tensor is written before it is read here; filling them first would only take time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
