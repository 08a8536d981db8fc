"""What a run writes, put together: weights with their metadata, states, and the rules when."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from ..checkpoint.choosing import state_to_resume
from ..checkpoint.describe import RunFacts, RunMetadata, hashes_of, start_session
from ..checkpoint.diffusers_lora import save_for_diffusers
from ..checkpoint.fingerprint import fingerprint_of
from ..checkpoint.weights import save_weights
from ..data.records import Scan
from ..events import Report
from ..families.base import Family
from ..networks.base import WriteWeights
from ..options.job import JobOptions
from ..options.model import ModelOptions
from ..options.network import NetworkOptions
from ..options.saving import DIFFUSERS_FILES, ResumeOptions, SavingOptions
from ..options.spec import Settings
from ..options.training import TrainingOptions
from .continuing import Continuation
from .position import Position
from .run import Run
from .saver import Saver

SAVE_DTYPES = {None: None, "float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def make_saver(running: Run, settings: Settings, scan: Scan, family: Family, report: Report) -> Saver:
    """What writes the results; resumes the run first when it is to go on from a state."""
    models = settings[ModelOptions]
    base, vae = hashes_of(models.pretrained_model_name_or_path), hashes_of(models.vae)
    fingerprint = fingerprint_of(
        settings,
        data=scan.fingerprint(),
        base_model=base.new if base else str(models.pretrained_model_name_or_path),
        vae=vae.new if vae else str(models.vae),
        processes=running.processes.count,
        device=running.precision.device.type,
        precision=running.precision.used,
        torch_version=torch.__version__,
    )
    state = Continuation(
        running.network,
        running.learner,
        running.scaler,
        running.average,
        running.watch,
        start_session(running.seed),
        fingerprint,
    )
    source = state_to_resume(settings)
    if source is not None:
        position = state.restore(source, settings[ResumeOptions].allow_changes, report)
        running.start = state.recounted(position, running.counts, settings[TrainingOptions], report)
    facts = RunFacts(
        session=state.session,
        counts=running.counts,
        processes=running.processes.count,
        mixed_precision=running.precision.used,
        optimizer=running.learner.text,
        lr_scheduler=running.learner.scheduler.name,
        base_model=base,
        vae=vae,
        kind=running.network.file_kind,
        network_module=None if settings[NetworkOptions].network_module else running.network.module_name,
    )
    metadata = RunMetadata(settings, scan, family.base_names(settings), facts)
    saving, job = settings[SavingOptions], settings[JobOptions].job_dir
    dtype = SAVE_DTYPES[saving.save_precision]
    save: WriteWeights = save_weights
    if saving.save_model_as in DIFFUSERS_FILES:
        save = partial(save_for_diffusers, paths=running.network.diffusers_paths())

    def write_weights(path: Path, position: Position) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with running.learner.pause():
            running.network.save(path, dtype, metadata.at(position.step, position.epoch), save)

    return Saver(
        saving,
        running.counts.num_epochs,
        write_weights=write_weights,
        write_state=state.save,
        processes=running.processes,
        report=report,
        job_dir=Path(job) if job else None,
    )
