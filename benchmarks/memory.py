"""Peak memory of a LoRA training step and of the autoencoder, told by shapes alone: no weight is ever in memory.

    python benchmarks/memory.py              Stable Diffusion 1.5, a minute or two
    python benchmarks/memory.py --unet tiny  the same in seconds, to see that it works
    python benchmarks/memory.py --unet sdxl --sides 512 1024

Models are built from fake tensors, which have a shape and a type but no numbers. Every operation of the real training
step runs on them, and the storages that are alive are added up. Weights and inputs are left out; what is told is what
comes on top of them, by latent cell (8x8 pixels) and sample. `tanren/vram.py` estimates with these numbers. Not seen
this way: workspaces of convolution libraries, gaps between blocks of memory, the driver's own needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import weakref
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from step_sides import UNETS, Ours, Work
from tanren.models.checkpointing import enable_gradient_checkpointing
from tanren.models.configs import STANDARD
from tanren.objectives.denoising_inputs import InputDraws
from tanren.options.loss import LossOptions
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

CELL, KIB = 8, 1024
BLOCK_BYTES = 512


class Alive(TorchDispatchMode):
    """Adds up the storages that live while it is on; those of `known` do not count."""

    def __init__(self, known: Any) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: dict[int, Any] = {}
        for tensor in known:
            self._seen[tensor.untyped_storage()._cdata] = None

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self._see(value)
        return result

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        count = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES

        def gone(_: object) -> None:
            del self._seen[key]
            self.now -= count

        self._seen[key] = weakref.ref(storage, gone)
        self.now += count
        self.peak = max(self.peak, self.now)


def step_bytes(work: Work, *, checkpointing: bool) -> int:
    """Most bytes alive beside the weights during forward and backward of one step."""
    inputs = InputDraws(LossOptions(), 1, 1)(work.data(0), 0)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        side = Ours(work, _built(UNet2DConditionModel, UNETS[work.unet], work.dtype))
        if checkpointing:
            enable_gradient_checkpointing(side.unet, [])
        placed = _fake(inputs, mode)
        alive = Alive([*side.unet.parameters(), *side.parameters])
        with alive:
            side.loss(placed).backward()
    return alive.peak


def forward_bytes(work: Work) -> int:
    """The same for a prediction without gradients, as sample pictures need it."""
    inputs = InputDraws(LossOptions(), 1, 1)(work.data(0), 0)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        side = Ours(work, _built(UNet2DConditionModel, UNETS[work.unet], work.dtype))
        placed = _fake(inputs, mode)
        alive = Alive([*side.unet.parameters(), *side.parameters])
        with alive, torch.no_grad():
            side.loss(placed)
    return alive.peak


def autoencoder_bytes(pixels: int, dtype: torch.dtype, *, decodes: bool) -> int:
    """Most bytes alive beside the weights while one picture is encoded or decoded."""
    with FakeTensorMode():
        vae = _built(AutoencoderKL, dict(STANDARD["sd1"].vae), dtype)
        cells = pixels // CELL
        given = torch.empty((1, 4, cells, cells) if decodes else (1, 3, pixels, pixels), dtype=dtype)
        alive = Alive(vae.parameters())
        with alive, torch.no_grad():
            vae.decode(given) if decodes else vae.encode(given)
    return alive.peak


def _built(kind: Any, config: Any, dtype: torch.dtype) -> Any:
    """A frozen model of fake weights, made in its dtype: fake weights cannot be converted in place."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model = kind(**config).requires_grad_(False).eval()
    finally:
        torch.set_default_dtype(before)
    model.to = lambda *place, **more: model
    return model


def _fake(value: Any, mode: FakeTensorMode) -> Any:
    if isinstance(value, Tensor):
        return mode.from_tensor(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _fake(getattr(value, field.name), mode) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **parts)
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unet", choices=UNETS, default="sd15")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 768], help="of square pictures, in pixels")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rank", type=int, default=16)
    options = parser.parse_args()
    for dtype in (torch.float32, torch.bfloat16):
        for pixels in options.sides:
            work = Work(options.unet, pixels, options.batch, options.rank, dtype)
            found = {
                "step": step_bytes(work, checkpointing=False),
                "step with checkpointing": step_bytes(work, checkpointing=True),
                "prediction": forward_bytes(work),
                "encode": autoencoder_bytes(pixels, dtype, decodes=False),
                "decode": autoencoder_bytes(pixels, dtype, decodes=True),
            }
            cells = (pixels // CELL) ** 2
            by_cell = {
                name: round(count / cells / (1 if name.endswith("code") else options.batch) / KIB, 1)
                for name, count in found.items()
            }
            print(json.dumps({"dtype": str(dtype), "pixels": pixels, "KiB_per_cell_and_sample": by_cell}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
