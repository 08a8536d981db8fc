"""What the recipes that train a network have in common: what stands before their own part, and what comes after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..checkpoint.choosing import state_to_resume
from ..data.counting import Counts
from ..data.dataset import BucketDataset
from ..data.records import Scan
from ..engine.averages import FiniteWatch, LossAverage
from ..engine.caching import cache_inputs
from ..engine.continuing import start_position
from ..engine.fused import check_fused
from ..engine.learner import Learner, check_learning
from ..engine.loop import fit
from ..engine.precision import Precision, choose_precision, place
from ..engine.previews import Steered, unsteered
from ..engine.processes import Processes
from ..engine.resting import Resting
from ..engine.results import make_saver
from ..engine.run import Batches, Learned, Run
from ..engine.setup import check_computing, choose_seed, count_run, load_with_network, make_previews, prepare_model
from ..engine.sharing import check_sharing
from ..engine.trackers import tracking
from ..events import Report
from ..families.base import Family, Model
from ..networks.base import TrainedNetwork
from ..objectives.denoising import Denoising
from ..options.caching import CachingOptions
from ..options.dataset import DatasetOptions
from ..options.loss import LossOptions
from ..options.model import ModelOptions
from ..options.saving import ResumeOptions
from ..options.spec import Settings
from ..options.training import TrainingOptions


@dataclass(frozen=True)
class Prepared:
    """A frozen model with a network that is ready to learn, and what it was made from."""

    family: Family
    settings: Settings
    report: Report
    processes: Processes
    seed: int
    precision: Precision
    model: Model
    network: TrainedNetwork
    counts: Counts
    learner: Learner


def prepare(family: Family, settings: Settings, scan: Scan, report: Report, processes: Processes) -> Prepared:
    """Check what the settings and this machine allow, load the model and put the network on it.

    Raises:
        UserError: what only loading could show.
    """
    check_learning(settings)
    training = settings[TrainingOptions]
    check_fused(settings, processes)
    check_sharing(settings, processes.sharing)
    seed = choose_seed(training, processes, state_to_resume(settings))
    precision = choose_precision(training, processes.device, report)
    check_computing(settings, processes.device, report)

    placement = place(precision, settings[ModelOptions], is_shared=processes.sharing is not None)
    model, network = load_with_network(family, settings, placement, seed, report)
    network.to(precision.device, precision.network)
    counts = count_run(scan, training, processes)
    learner = Learner(network, settings, counts.max_train_steps, processes.count, report)
    prepare_model(model, network, settings, processes)
    return Prepared(family, settings, report, processes, seed, precision, model, network, counts, learner)


def learn_from_pictures(
    prepared: Prepared, scan: Scan, kind: type[Denoising], tracker: str, steered: Steered = unsteered
) -> None:
    """Cache the pictures of `scan` as the settings say, and train on them.

    Args:
        kind: the objective.
        tracker: what the run is called in the logs.
        steered: what is put around the drawing of a sample prompt.

    Raises:
        UserError: what only training could show.
        StoppedOnRequest: somebody asked; everything needed to go on is saved.
    """
    model, network, settings = prepared.model, prepared.network, prepared.settings
    dataset = BucketDataset(
        scan,
        settings,
        prepared.family.latents,
        prepared.seed,
        prepared.report,
        max_train_steps=prepared.counts.max_train_steps,
    )
    resting = cache_inputs(dataset, model, network, settings, prepared.processes)
    objective = kind(
        model,
        network,
        settings[LossOptions],
        seed=prepared.seed,
        validation_seed=settings[DatasetOptions].validation_seed,
        vae_batch_size=settings[CachingOptions].vae_batch_size,
    )
    with closing(dataset):
        learn(prepared, scan, dataset, objective, resting, tracker, steered=steered)


def learn(
    prepared: Prepared,
    scan: Scan,
    dataset: Batches,
    objective: Learned,
    resting: Resting,
    tracker: str,
    *,
    strengths: tuple[float, ...] = (1.0,),
    steered: Steered = unsteered,
    facts: Callable[[Any], Mapping[str, float]] = lambda inputs: {},
) -> None:
    """Train what is prepared, with samples, logs, states and the file at the end.

    Args:
        dataset, objective, facts: see `Run`.
        resting: the parts of the model that wait until a sample needs them.
        tracker: what the run is called in the logs.
        strengths, steered: of sample pictures, see `make_previews`.

    Raises:
        UserError: what only training could show.
        StoppedOnRequest: somebody asked; everything needed to go on is saved.
    """
    model, network, learner, settings = prepared.model, prepared.network, prepared.learner, prepared.settings
    precision, processes, seed, report = prepared.precision, prepared.processes, prepared.seed, prepared.report
    accumulation = settings[TrainingOptions].gradient_accumulation_steps
    running = Run(
        dataset=dataset,
        objective=objective,
        network=network,
        learner=learner,
        scaler=precision.make_scaler(),
        average=LossAverage(),
        watch=FiniteWatch(),
        counts=prepared.counts,
        accumulation=accumulation,
        precision=precision,
        processes=processes,
        seed=seed,
        previews=make_previews(
            model, network, learner, resting, settings, precision, processes, seed, report, strengths, steered
        ),
        start=start_position(settings[ResumeOptions], prepared.counts, accumulation),
        facts=facts,
    )
    saver = make_saver(running, settings, scan, prepared.family, report)
    with tracking(settings, tracker, report, processes):
        fit(running, saver, settings, report)
