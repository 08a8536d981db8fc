"""Write a full-size Stable Diffusion XL of random numbers: 6.9 GB in float16, to try loading and training with.

    python tools/random_sdxl.py OUT.safetensors     one file in the layout that people's files have
    python tools/random_sdxl.py OUT --folder        a diffusers folder

Nothing sensible can be drawn with it. Every weight is a view of a few million random numbers, its rows shifted against
each other, so that the model takes some hundred megabytes until it is written, one tensor after the other. Weights are
divided by the square root of what they sum up, which keeps activations near 1 and so finite in half precision.
"""

from __future__ import annotations

import argparse
import sys
from functools import lru_cache
from math import prod
from pathlib import Path
from zlib import crc32

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "trainer"))

from diffusers import AutoencoderKL, UNet2DConditionModel
from tanren.models.build import quiet_libraries
from tanren.models.configs import STANDARD
from tanren.models.save import ModelParts, write_single_file
from tanren.models.save_folder import write_folder
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

SEED = 1
SHIFT = 97
# Room for the largest embedding, 49408 rows, wherever it starts.
NUMBERS, STARTS = 6_000_000, 1_000_003


def random_parts() -> ModelParts:
    """A whole SDXL whose weights are views of few numbers, in float16."""
    configs = STANDARD["sdxl"]
    first, second = (CLIPTextConfig(**config) for config in configs.text_encoders)
    with torch.device("meta"), quiet_libraries():
        unet, vae = UNet2DConditionModel(**configs.unet), AutoencoderKL(**configs.vae)
        texts = (CLIPTextModel(first), CLIPTextModelWithProjection(second))
    for model in (unet, vae, *texts):
        give_random_weights(model, torch.float16)
    return ModelParts(configs, unet, vae, texts)


def give_random_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Put random weights into a model on the meta device; as views they take next to no memory."""
    weights = {name: random_weight(name, tuple(one.shape), dtype) for name, one in model.state_dict().items()}
    model.load_state_dict(weights, assign=True)


def random_weight(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Ones and zeros for norms and biases; else numbers of the mean square 1 / inputs, the same for the same name."""
    if len(shape) < 2:
        return torch.full(shape, float(name.endswith("weight")), dtype=dtype)
    inputs = prod(shape[1:])
    steps = [prod(shape[place + 1 :]) for place in range(1, len(shape))]
    return _numbers(inputs, dtype).as_strided(shape, [SHIFT, *steps], crc32(name.encode()) % STARTS)


@lru_cache
def _numbers(inputs: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(NUMBERS, generator=generator).div_(inputs**0.5).to(dtype)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folder", action="store_true", help="a diffusers folder instead of a single file")
    options = parser.parse_args()
    write = write_folder if options.folder else write_single_file
    write(options.out, random_parts(), dtype=torch.float16)


if __name__ == "__main__":
    main()
