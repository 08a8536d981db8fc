"""Train a ControlNet-LLLite: captioned pictures and their control pictures in, one network file out."""

from __future__ import annotations

from contextlib import closing

from ..checkpoint.choosing import state_to_resume
from ..data.dataset import BucketDataset
from ..data.records import Scan
from ..engine.averages import FiniteWatch, LossAverage
from ..engine.caching import cache_inputs
from ..engine.continuing import start_position
from ..engine.control import steered_by
from ..engine.fused import check_fused
from ..engine.learner import Learner, check_learning
from ..engine.loop import fit
from ..engine.precision import choose_precision, place
from ..engine.processes import Processes
from ..engine.results import make_saver
from ..engine.run import Run
from ..engine.setup import check_computing, choose_seed, count_run, load_with_network, make_previews, prepare_model
from ..engine.sharing import check_sharing
from ..engine.trackers import tracking
from ..events import Report
from ..families.base import Family
from ..networks.lllite import LlliteNetwork
from ..objectives.steered import SteeredDenoising
from ..options.caching import CachingOptions
from ..options.dataset import DatasetOptions
from ..options.loss import LossOptions
from ..options.model import ModelOptions
from ..options.saving import ResumeOptions
from ..options.spec import Settings
from ..options.training import TrainingOptions

TRACKER = "lllite_control_net_train"


def run(family: Family, settings: Settings, scan: Scan, report: Report, processes: Processes) -> None:
    """Train a ControlNet-LLLite as the settings say.

    Raises:
        UserError: what only loading and training could show.
        StoppedOnRequest: somebody asked; everything needed to go on is saved.
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
    assert isinstance(network, LlliteNetwork)
    network.to(precision.device, precision.network)
    counts = count_run(scan, training, processes)
    learner = Learner(network, settings, counts.max_train_steps, processes.count, report)
    prepare_model(model, network, settings, processes)

    dataset = BucketDataset(scan, settings, family.latents, seed, report, max_train_steps=counts.max_train_steps)
    resting = cache_inputs(dataset, model, network, settings, processes)
    objective = SteeredDenoising(
        model,
        network,
        settings[LossOptions],
        seed=seed,
        validation_seed=settings[DatasetOptions].validation_seed,
        vae_batch_size=settings[CachingOptions].vae_batch_size,
    )

    running = Run(
        dataset=dataset,
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
            model,
            network,
            learner,
            resting,
            settings,
            precision,
            processes,
            seed,
            report,
            steered=steered_by(network, model),
        ),
        start=start_position(settings[ResumeOptions], counts, training.gradient_accumulation_steps),
    )
    saver = make_saver(running, settings, scan, family, report)
    with tracking(settings, TRACKER, report, processes), closing(dataset):
        fit(running, saver, settings, report)
