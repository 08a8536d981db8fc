"""The embedded models with a finished network, and pictures of them by diffusers' scheduler, not by the product's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from tanren.events import Report
from tanren.families import sd, sdxl
from tanren.families.base import Placement
from tanren.micro import demonstration
from tanren.micro.drawing import Pixels
from tanren.networks import lora_weights
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings

if TYPE_CHECKING:
    from sampling import MicroModel, MicroXlModel

FAMILIES = {"sd15": sd, "sdxl": sdxl}
TOOLS = Path(__file__).parents[1] / "tools" / "micro_model"
CPU = Placement(torch.device("cpu"), torch.float32, torch.float32)


def sampling_module():
    """`tools/micro_model/sampling.py`, which finds its neighbours by their bare names."""
    sys.path.insert(0, str(TOOLS))
    try:
        import sampling
    finally:
        sys.path.remove(str(TOOLS))
    return sampling


def loaded(name: str, lora: Path | None = None, strength: float = 1.0) -> MicroModel | MicroXlModel:
    """micro-SD (sd15) or micro-SDXL (sdxl), with the network merged into it."""
    base = demonstration.BASES[name]
    groups = [ModelOptions(pretrained_model_name_or_path=str(base.path)), AttentionOptions(), DatasetOptions()]
    model = FAMILIES[name].load(Settings(base.command, groups), CPU, Report())
    if lora is not None and strength:
        assert lora_weights.merge(model.family.lora_targets(model), load_file(lora), strength, str(lora)) > 0
    sampling = sampling_module()
    if name == "sdxl":
        first, second = model.text_encoders
        return sampling.MicroXlModel(model.tokenizers[0], (first, second), model.denoiser, model.vae)
    return sampling.MicroModel(model.tokenizers[0], model.text_encoders[0], model.denoiser, model.vae)


def drawn(model: MicroModel | MicroXlModel, prompts: Sequence[str], seed: int) -> list[Pixels]:
    """One picture of 64x64 per prompt."""
    return sampling_module().generate(model, prompts, seed=seed)
