"""Change what prompts mean (LECO): pairs of prompts in, one network file out; no pictures are needed."""

from __future__ import annotations

import torch

from ..checkpoint.choosing import state_to_resume
from ..data.batch import TextStates
from ..data.prompt_scan import PromptScan
from ..data.prompt_steps import PromptSteps
from ..engine.averages import FiniteWatch, LossAverage
from ..engine.continuing import start_position
from ..engine.fused import check_fused
from ..engine.learner import Learner, check_learning
from ..engine.loop import fit
from ..engine.precision import choose_precision, place
from ..engine.processes import Processes
from ..engine.resting import Resting
from ..engine.results import make_saver
from ..engine.run import Run
from ..engine.setup import check_computing, choose_seed, count_run, load_with_network, make_previews, prepare_model
from ..engine.sharing import refuse_sharing
from ..engine.trackers import tracking
from ..events import Report
from ..families.base import Family, Model
from ..objectives.concept import Concept
from ..options.leco import LecoOptions
from ..options.loss import LossOptions
from ..options.model import ModelOptions
from ..options.sampling import SamplingOptions
from ..options.saving import ResumeOptions
from ..options.spec import Settings
from ..options.training import TrainingOptions

TRACKERS = {"train_leco": "leco_train", "sdxl_train_leco": "sdxl_leco_train"}
# Of sample pictures: before and after, and the other end of a slider.
STRENGTHS, SLIDER_STRENGTHS = (0.0, 1.0), (-1.0, 0.0, 1.0)


def run(family: Family, settings: Settings, scan: PromptScan, report: Report, processes: Processes) -> None:
    """Train as the settings and the prompt file say.

    Raises:
        UserError: what only loading and training could show.
        StoppedOnRequest: somebody asked; everything needed to go on is saved.
    """
    check_learning(settings)
    training, prompts = settings[TrainingOptions], scan.prompts
    check_fused(settings, processes)
    refuse_sharing(processes.sharing)
    seed = choose_seed(training, processes, state_to_resume(settings))
    precision = choose_precision(training, processes.device, report)
    check_computing(settings, processes.device, report)

    placement = place(precision, settings[ModelOptions])
    model, network = load_with_network(family, settings, placement, seed, report)
    network.to(precision.device, precision.network)
    counts = count_run(scan, training, processes)
    learner = Learner(network, settings, counts.max_train_steps, processes.count, report)
    prepare_model(model, network, settings, processes)

    texts = encode_once(model, prompts.texts)
    resting = Resting(
        settings[ModelOptions], precision.device, draws_pictures=settings[SamplingOptions].sample_prompts is not None
    )
    for part in (*model.text_encoders, model.vae):
        resting.put(part)
    objective = Concept(model, network, prompts.pairs, texts, settings[LecoOptions], settings[LossOptions], seed=seed)

    strengths = SLIDER_STRENGTHS if prompts.has_sliders else STRENGTHS
    running = Run(
        dataset=PromptSteps(counts.batches_per_process),
        objective=objective,
        network=network,
        learner=learner,
        scaler=precision.make_scaler(),
        average=LossAverage(),
        watch=FiniteWatch(),
        counts=counts,
        accumulation=training.gradient_accumulation_steps,
        precision=precision,
        processes=processes,
        seed=seed,
        previews=make_previews(
            model, network, learner, resting, settings, precision, processes, seed, report, strengths
        ),
        start=start_position(settings[ResumeOptions], counts, training.gradient_accumulation_steps),
        facts=objective.facts,
    )
    saver = make_saver(running, settings, scan, family, report)
    with tracking(settings, TRACKERS[settings.command], report, processes):
        fit(running, saver, settings, report)


@torch.no_grad()
def encode_once(model: Model, prompts: tuple[str, ...]) -> dict[str, TextStates]:
    """States of each prompt, (1, tokens, width), on the model's device."""
    return {prompt: model.family.encode_text(model, [prompt]) for prompt in prompts}
