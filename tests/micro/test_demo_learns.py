"""What the demo's training teaches, judged on many pictures that another program draws from the finished file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tanren.events import Report
from tanren.families import sd, sdxl
from tanren.families.base import Placement
from tanren.micro import demonstration
from tanren.micro.lessons import TRIGGER, new_words
from tanren.micro.score import Shares, score
from tanren.micro.world import SHAPES, known_words, prompt, spread
from tanren.networks import lora_weights
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings

FAMILIES = {"sd15": sd, "sdxl": sdxl}
TOOLS = Path(__file__).parents[2] / "tools" / "micro_model"
NEW_COUNT, KNOWN_COUNT = 112, 120
CPU = Placement(torch.device("cpu"), torch.float32, torch.float32)


def pictures_of(name: str, lora: Path | None) -> tuple[Shares, Shares]:
    """The new word and the known shapes, drawn by diffusers' scheduler and judged by their pixels."""
    sys.path.insert(0, str(TOOLS))
    try:
        from sampling import MicroModel, MicroXlModel, generate
    finally:
        sys.path.remove(str(TOOLS))
    base = demonstration.BASES[name]
    groups = [ModelOptions(pretrained_model_name_or_path=str(base.path)), AttentionOptions(), DatasetOptions()]
    model = FAMILIES[name].load(Settings(base.command, groups), CPU, Report())
    if lora is not None:
        assert lora_weights.merge(model.family.lora_targets(model), load_file(lora), 1.0, str(lora)) > 0
    micro: MicroModel | MicroXlModel
    if name == "sdxl":
        first, second = model.text_encoders
        micro = MicroXlModel(model.tokenizers[0], (first, second), model.denoiser, model.vae)
    else:
        micro = MicroModel(model.tokenizers[0], model.text_encoders[0], model.denoiser, model.vae)
    new = spread(new_words(demonstration.NEW_SHAPE), NEW_COUNT, seed=501)
    known = spread([words for words in known_words() if not words.is_held_out], KNOWN_COUNT, seed=502)
    taught = score(generate(micro, [prompt(words, TRIGGER) for words in new], seed=50_000), new)
    kept = score(generate(micro, [prompt(words) for words in known], seed=60_000), known)
    return taught, kept


@pytest.mark.proof
@pytest.mark.parametrize("name", FAMILIES)
def test_the_demo_teaches_its_shape_on_fresh_seeds_and_leaves_the_known_ones(tmp_path, name):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before, known_before = pictures_of(name, None)

    assert demonstration.run(tmp_path / "demo", base=demonstration.BASES[name]) == 0
    after, known_after = pictures_of(name, tmp_path / "demo" / f"{demonstration.NAME}.safetensors")

    torch.set_num_threads(threads)
    print(f"\n{TRIGGER!r} before: {before}\n{TRIGGER!r} after: {after}")
    print(f"known before: {known_before}\nknown after: {known_after}")
    assert demonstration.NEW_SHAPE not in SHAPES
    assert before.complete <= 0.10
    assert after.complete >= 0.80
    assert known_after.complete >= known_before.complete - 0.05
