"""What a LoRA file says about the run that made it: sd-scripts' `ss_*` keys and `modelspec.*`.

Most `ss_*` keys are options under the names their declarations give them (`saved_as`); the rest are facts of the run.
All that differs between two runs of the same seed are the times and the session drawn from them. Paths never get in,
only their last parts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..data.counting import Counts
from ..data.draws import draw
from ..data.records import Scan
from ..families.base import BaseNames
from ..formats.lora_metadata import minimum_of, new_model_hash, old_model_hash
from ..options.dataset import DatasetOptions
from ..options.model import ModelOptions
from ..options.network import NetworkOptions
from ..options.rates import text_encoder_rates
from ..options.saving import SavingOptions
from ..options.spec import Settings, options_of
from ..options.training import TrainingOptions
from .describe_data import data_metadata
from .modelspec import modelspec_metadata

# sd-scripts writes these only for --train_data_dir and --in_json, whose settings they repeat; the other way of naming
# the data has them, per dataset, in ss_datasets.
FOLDER_KEYS = frozenset(
    (
        *("ss_resolution", "ss_batch_size_per_device", "ss_color_aug", "ss_flip_aug", "ss_random_crop"),
        *("ss_shuffle_caption", "ss_enable_bucket", "ss_bucket_no_upscale", "ss_min_bucket_reso"),
        *("ss_max_bucket_reso", "ss_keep_tokens"),
    )
)
# Written by rules of their own below, or (the last one) no key of sd-scripts.
NOT_AS_GIVEN = frozenset(
    ("ss_sd_model_name", "ss_vae_name", "ss_network_args", "ss_text_encoder_lr", "ss_full_bf16"),
)
IS_A_FOLDER = "IsADirectory"
LORA = "lora"
# Of files that nobody gave a title.
TITLES = {LORA: "LoRA", "control-net-lllite": "ControlNet-LLLite"}


@dataclass(frozen=True)
class Session:
    """What groups the files of one run; a resumed run keeps it.

    Args:
        number: 0 to 2^32, drawn from the seed and the start.
        started_at: seconds since 1970.
        seed: in use; a run without `--seed` that goes on has to use it again.
    """

    number: int
    started_at: float
    seed: int


@dataclass(frozen=True)
class FileHashes:
    """Both hashes of a model file, as the WebUIs know them."""

    old: str
    new: str


@dataclass(frozen=True)
class RunFacts:
    """What the settings alone do not say.

    Args:
        session: of the run.
        counts: lengths of the run.
        processes: that train together.
        mixed_precision: in use, which on a machine without support is not what was asked for.
        optimizer: `module.Class(key=value)`.
        lr_scheduler: name of the schedule; Adafactor's own has its rate in it.
        base_model, vae: hashes of the files, None for names of the hub or when there is none.
        kind: of the file, as modelspec names it.
        network_module: what no option says, because there is only one network; None where an option does.
    """

    session: Session
    counts: Counts
    processes: int
    mixed_precision: str
    optimizer: str
    lr_scheduler: str
    base_model: FileHashes | None = None
    vae: FileHashes | None = None
    kind: str = LORA
    network_module: str | None = None


def start_session(seed: int, started_at: float | None = None) -> Session:
    """A new session; the same seed and time give the same one."""
    moment = time.time() if started_at is None else started_at
    return Session(draw(seed, "session", repr(moment)).randrange(2**32), moment, seed)


def hashes_of(model: str | None) -> FileHashes | None:
    """Hashes of a model file, or None for what is not on this disk; reads the whole file."""
    if model is None or not Path(model).exists():
        return None
    path = Path(model)
    return FileHashes(old_model_hash(path), new_model_hash(path) or IS_A_FOLDER)


class RunMetadata:
    """The metadata of every file a run saves.

    Args:
        settings: of the run.
        scan: its data.
        names: what files call its base model.
        facts: the rest.
    """

    def __init__(self, settings: Settings, scan: Scan, names: BaseNames, facts: RunFacts) -> None:
        folders = settings[DatasetOptions].dataset_config is None
        self._training = {
            **_from_options(settings, folders),
            **_from_facts(facts, scan, names),
            **_from_models(settings[ModelOptions], facts),
            **_from_network(settings[NetworkOptions], text_encoder_rates(settings)),
            **(data_metadata(scan, folders=folders) if scan.datasets else {}),
            **scan.metadata,
        }
        if folders and scan.datasets:
            per_update = facts.processes * settings[TrainingOptions].gradient_accumulation_steps
            self._training["ss_total_batch_size"] = str(settings[DatasetOptions].train_batch_size * per_update)
        if facts.network_module is not None:
            self._training["ss_network_module"] = facts.network_module
        self._modelspec = modelspec_metadata(settings, scan, names, facts.kind)
        self._kind = facts.kind
        self._has_title = "modelspec.title" in self._modelspec
        self._minimum_only = settings[SavingOptions].no_metadata

    def at(self, step: int, epoch: int, now: float | None = None) -> dict[str, str]:
        """Metadata of a file saved at this step and epoch.

        Args:
            step: optimizer updates done.
            epoch: epochs completed.
            now: seconds since 1970; the clock's when not given.
        """
        moment = time.time() if now is None else now
        metadata = {
            **self._training,
            **self._modelspec,
            "ss_steps": str(step),
            "ss_epoch": str(epoch),
            "ss_training_finished_at": str(moment),
            "modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment)),
        }
        if not self._has_title:
            metadata["modelspec.title"] = f"{TITLES[self._kind]}@{moment}"
        return minimum_of(metadata) if self._minimum_only else metadata


def _from_options(settings: Settings, folders: bool) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in _saved_options(settings)
        if name not in NOT_AS_GIVEN and (folders or name not in FOLDER_KEYS)
    }


def _saved_options(settings: Settings) -> Iterator[tuple[str, object]]:
    for group in settings.groups():
        for option in options_of(type(group)):
            if option.text.saved_as is not None and option.text.saved_as.startswith("ss_"):
                yield option.text.saved_as, getattr(group, option.name)


def _from_facts(facts: RunFacts, scan: Scan, names: BaseNames) -> dict[str, str]:
    values = {
        "ss_session_id": facts.session.number,
        "ss_training_started_at": facts.session.started_at,
        "ss_seed": facts.session.seed,
        "ss_num_train_images": scan.num_train_images,
        "ss_num_reg_images": scan.num_reg_images,
        "ss_num_validation_images": scan.num_validation_images,
        "ss_num_batches_per_epoch": facts.counts.batches_per_process,
        "ss_num_epochs": facts.counts.num_epochs,
        "ss_max_train_steps": facts.counts.max_train_steps,
        "ss_mixed_precision": facts.mixed_precision,
        "ss_optimizer": facts.optimizer,
        "ss_lr_scheduler": facts.lr_scheduler,
        "ss_v2": names.v2,
        "ss_base_model_version": names.base_model_version,
        "ss_sd_scripts_commit_hash": "(unknown)",
    }
    return {name: str(value) for name, value in values.items()}


def _from_models(options: ModelOptions, facts: RunFacts) -> dict[str, str]:
    metadata = {"ss_sd_model_name": _public_name(options.pretrained_model_name_or_path, facts.base_model)}
    if facts.base_model is not None:
        metadata |= {"ss_sd_model_hash": facts.base_model.old, "ss_new_sd_model_hash": facts.base_model.new}
    if options.vae is not None:
        metadata["ss_vae_name"] = _public_name(options.vae, facts.vae)
        if facts.vae is not None:
            metadata |= {"ss_vae_hash": facts.vae.old, "ss_new_vae_hash": facts.vae.new}
    return metadata


def _from_network(network: NetworkOptions, rates: tuple[float, ...]) -> dict[str, str]:
    metadata = {"ss_text_encoder_lr": str(list(rates) if len(rates) > 1 else next(iter(rates), None))}
    if network.network_args:
        arguments: dict[str, str | float | None] = dict(_pair(text) for text in network.network_args)
        metadata["ss_network_args"] = json.dumps({"dropout": network.network_dropout, **arguments})
    return metadata


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _public_name(model: str | None, hashes: FileHashes | None) -> str:
    """A hub id as it is, of a path only the last part."""
    return str(model) if model is None or hashes is None else Path(model).name
