"""Parts of a run that every method makes in the same way."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

import torch

from ..checkpoint.state import session_of
from ..checkpoint.weights import load_weights
from ..data.counting import Counts, count_steps
from ..data.records import Scan
from ..events import Report
from ..families.base import Family, Model, Placement
from ..formats.sample_prompts import read_sample_prompts
from ..models.checkpointing import InMainMemory, can_offload, enable_gradient_checkpointing
from ..models.compiling import check_compiler, compile_blocks, compiles
from ..models.lean import make_lean
from ..networks.base import TrainedNetwork
from ..networks.modules import attach_network, merge_base_weights
from ..options.model import AttentionOptions
from ..options.network import NetworkOptions
from ..options.sampling import SamplingOptions
from ..options.saving import SavingOptions
from ..options.spec import Settings
from ..options.training import TrainingOptions
from .determinism import choose_algorithms
from .learner import Learner
from .precision import Precision, keep_whole, shrink_weights
from .previews import Previews, Steered, unsteered
from .processes import Processes
from .resting import Resting
from .sharing import share_out


def choose_seed(training: TrainingOptions, processes: Processes, source: Path | None = None) -> int:
    """`--seed`, that of the run that goes on from the state `source`, or a random one; all processes share it."""
    if training.seed is not None:
        return training.seed
    session = None if source is None else session_of(source)
    return processes.from_main(secrets.randbelow(2**32) if session is None else session.seed)


def load_with_network(
    family: Family, settings: Settings, placement: Placement, seed: int, report: Report
) -> tuple[Model, TrainedNetwork]:
    """The frozen base with `--base_weights` merged, and the network that learns on it.

    Raises:
        UserError: a file is missing, damaged or does not fit.
    """
    options = settings[NetworkOptions]
    # What is merged in must be whole; weights become smaller afterwards.
    model = family.load(settings, keep_whole(placement) if options.base_weights else placement, report)
    for note in merge_base_weights(model, options, load_weights):
        report.note(note)
    shrink_weights(model, placement)
    network = attach_network(model, options, seed, load_weights)
    for note in network.notes:
        report.note(note)
    return model, network


def count_run(scan: Scan, training: TrainingOptions, processes: Processes) -> Counts:
    """Lengths of the run."""
    return count_steps(
        scan.batches_per_epoch(),
        max_train_steps=training.max_train_steps,
        max_train_epochs=training.max_train_epochs,
        accumulation=training.gradient_accumulation_steps,
        processes=processes.count,
    )


def check_computing(settings: Settings, device: torch.device, report: Report) -> None:
    """Choose torch's algorithms and tell what the device makes of the settings, before a model is loaded.

    Raises:
        UserError: the blocks cannot be compiled here.
    """
    training, attention = settings[TrainingOptions], settings[AttentionOptions]
    choose_algorithms(training.deterministic)
    check_compiler(attention, device)
    if compiles(attention):
        report.warning("--torch_compile: steps take long while the U-Net is compiled, at the start and for new sizes.")
    if training.cpu_offload_checkpointing and training.gradient_checkpointing and not can_offload(device):
        report.warning("--cpu_offload_checkpointing has no effect: what a CPU keeps is in main memory anyway.")


def prepare_model(model: Model, network: TrainedNetwork, settings: Settings, processes: Processes) -> None:
    """Memory and speed settings of the frozen model, and its sharing out; after the network is on it."""
    training, attention = settings[TrainingOptions], settings[AttentionOptions]
    if compiles(attention):
        compile_blocks(model.denoiser, attention.dynamo_backend)
    else:
        make_lean(model.denoiser)
    if training.gradient_checkpointing:
        encoders = model.text_encoders if network.trains_text_encoder else []
        enable_gradient_checkpointing(model.denoiser, encoders, _block_runner(training, processes.device))
        network.enable_gradient_checkpointing()
    if processes.sharing:
        share_out(model.denoiser, processes.sharing, processes.device)


def _block_runner(training: TrainingOptions, device: torch.device) -> InMainMemory | None:
    """What runs the checkpointed blocks when their inputs are to wait in main memory."""
    if not training.cpu_offload_checkpointing or not can_offload(device):
        return None
    return InMainMemory(pinned=device.type == "cuda")


def make_previews(
    model: Model,
    network: TrainedNetwork,
    learner: Learner,
    resting: Resting,
    settings: Settings,
    precision: Precision,
    processes: Processes,
    seed: int,
    report: Report,
    strengths: tuple[float, ...] = (1.0,),
    steered: Steered = unsteered,
) -> Previews | None:
    """Sample pictures, when there are prompts for them; each at every strength of the network, `steered` around it."""
    options, saving = settings[SamplingOptions], settings[SavingOptions]
    if options.sample_prompts is None:
        return None
    return Previews(
        model,
        network,
        read_sample_prompts(Path(options.sample_prompts)).prompts,
        options,
        folder=Path(saving.output_dir or ".") / "sample",
        output_name=saving.output_name,
        seed=seed,
        report=report,
        processes=processes,
        strengths=strengths,
        steered=steered,
        pause=learner.pause,
        autocast=partial(precision.autocast, network.needs_autocast),
        at_hand=resting.at_hand,
    )
