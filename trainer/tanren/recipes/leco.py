"""Change what prompts mean (LECO): pairs of prompts in, one network file out; no pictures are needed."""

from __future__ import annotations

import torch

from ..data.batch import TextStates
from ..data.prompt_scan import PromptScan
from ..data.prompt_steps import PromptSteps
from ..engine.processes import Processes
from ..engine.resting import Resting
from ..engine.sharing import refuse_sharing
from ..events import Report
from ..families.base import Family, Model
from ..objectives.concept import Concept
from ..options.leco import LecoOptions
from ..options.loss import LossOptions
from ..options.model import ModelOptions
from ..options.sampling import SamplingOptions
from ..options.spec import Settings
from .learning import learn, prepare

TRACKERS = {"train_leco": "leco_train", "sdxl_train_leco": "sdxl_leco_train"}
# Of sample pictures: before and after, and the other end of a slider.
STRENGTHS, SLIDER_STRENGTHS = (0.0, 1.0), (-1.0, 0.0, 1.0)


def run(family: Family, settings: Settings, scan: PromptScan, report: Report, processes: Processes) -> None:
    """Train as the settings and the prompt file say.

    Raises:
        UserError: what only loading and training could show.
        StoppedOnRequest: somebody asked; everything needed to go on is saved.
    """
    refuse_sharing(processes.sharing)
    prepared = prepare(family, settings, scan, report, processes)
    model, network, prompts = prepared.model, prepared.network, scan.prompts

    texts = encode_once(model, prompts.texts)
    resting = Resting(
        settings[ModelOptions],
        prepared.precision.device,
        draws_pictures=settings[SamplingOptions].sample_prompts is not None,
    )
    for part in (*model.text_encoders, model.vae):
        resting.put(part)
    objective = Concept(
        model, network, prompts.pairs, texts, settings[LecoOptions], settings[LossOptions], seed=prepared.seed
    )

    learn(
        prepared,
        scan,
        PromptSteps(prepared.counts.batches_per_process),
        objective,
        resting,
        TRACKERS[settings.command],
        strengths=SLIDER_STRENGTHS if prompts.has_sliders else STRENGTHS,
        facts=objective.facts,
    )


@torch.no_grad()
def encode_once(model: Model, prompts: tuple[str, ...]) -> dict[str, TextStates]:
    """States of each prompt, (1, tokens, width), on the model's device."""
    return {prompt: model.family.encode_text(model, [prompt]) for prompt in prompts}
