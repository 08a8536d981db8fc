"""The U-Net's blocks compiled by torch.compile, on request.

The blocks are compiled one by one, not the whole U-Net: many of them share their code, so that a compiled piece serves
again, and gradient checkpointing goes on working around them. Compiled blocks run the plain layers: what the compiler
could fuse would be hidden from it in the layers that are fused by hand.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from ..errors import EnvironmentProblem, UsageError
from ..options.model import AttentionOptions

BLOCKS = (BasicTransformerBlock, ResnetBlock2D)
# SDXL has twelve kinds of resnets, each for several picture sizes; torch would give up after eight.
MOST_VERSIONS = 256
NOTHING = "no"
BACKEND = "--dynamo_backend"
CPU_COMPILERS = ("g++", "clang++", "cl")


def compiles(options: AttentionOptions) -> bool:
    """Whether the run compiles: `--dynamo_backend no` is what launchers write when nothing is compiled."""
    return options.torch_compile and options.dynamo_backend != NOTHING


def check_compiler(options: AttentionOptions, device: torch.device) -> None:
    """Refuse a back end that cannot work here.

    Raises:
        UsageError: this torch does not have it.
        EnvironmentProblem: what it compiles with is not installed.
    """
    if not compiles(options):
        return
    backend, known = options.dynamo_backend, torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        fix = f"It has: {', '.join(sorted(known))}."
        raise UsageError(where=BACKEND, what=f"This version of torch has no back end {backend}.", fix=fix)
    has_cpp = any(shutil.which(name) for name in CPU_COMPILERS)
    missing = missing_tool(backend, device, has_triton=find_spec("triton") is not None, has_cpp=has_cpp)
    if missing:
        raise EnvironmentProblem(
            where="--torch_compile",
            what=f"The back end {backend} needs {missing}, which is not installed.",
            fix=f"Install it, set {BACKEND} aot_eager, or leave --torch_compile out.",
        )


def missing_tool(backend: str, device: torch.device, *, has_triton: bool, has_cpp: bool) -> str | None:
    """What a back end cannot do without and does not have; None when all is there."""
    if backend != "inductor":
        return None
    if device.type == "cuda":
        return None if has_triton else "the package triton (triton-windows on Windows)"
    return None if has_cpp else "a C++ compiler"


def compile_blocks(unet: nn.Module, backend: str) -> None:
    """Let torch compile the blocks of a U-Net when they are first called."""
    dynamo = torch._dynamo.config
    dynamo.recompile_limit = max(dynamo.recompile_limit, MOST_VERSIONS)
    for module in unet.modules():
        if type(module) in BLOCKS:
            module.compile(backend=backend)
