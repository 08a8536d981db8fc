"""Files and folders that a run names, looked into before a model is loaded: other models, prompts, states."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from .checkpoint.choosing import choose_state
from .errors import Problems, UsageError, UserError
from .formats.checkpoint_kind import CheckpointKind
from .formats.extra_models import check_lora, check_ranks, check_vae
from .formats.lllite_file import check_lllite
from .formats.sample_prompts import read_sample_prompts
from .formats.toml_file import read_toml
from .hub.states import is_on_hub
from .models.hub import is_hub_id
from .networks.lora_args import LoraArgs
from .networks.module_names import is_own
from .options.job import JobOptions
from .options.lllite import LlliteOptions
from .options.model import ModelOptions
from .options.network import NetworkOptions
from .options.sampling import SamplingOptions
from .options.saving import ResumeOptions, SavingOptions
from .options.spec import Settings
from .options.tracking import TrackingOptions
from .paths import home_expanded, resolve_user_path


def check_files(settings: Settings, base: CheckpointKind | None, lora: LoraArgs | None, problems: Problems) -> None:
    """Add what is wrong with the files that the options name.

    Args:
        settings: of the run.
        base: what the base model is, where that is known.
        lora: arguments of our own network.
        problems: the list.
    """
    network, tracking = settings[NetworkOptions], settings[TrackingOptions]
    _check_other_models(settings[ModelOptions].vae, network, base, problems)
    if network.network_weights and lora is not None and not network.dim_from_weights:
        collecting(problems, partial(_check_start_ranks, network.network_weights, lora))
    made = [
        ("--output_dir", settings[SavingOptions].output_dir),
        ("--logging_dir", tracking.logging_dir),
        ("--job_dir", settings[JobOptions].job_dir),
    ]
    for where, text in made:
        if text:
            collecting(problems, partial(resolve_user_path, text, "new folder", where=where))
    resume = settings[ResumeOptions].resume
    if resume and not is_on_hub(settings):
        collecting(problems, lambda: choose_state(resolve_user_path(resume, "folder", where="--resume")))
    if prompts := settings[SamplingOptions].sample_prompts:
        steered = isinstance(network, LlliteOptions)
        collecting(problems, lambda: _check_sample_prompts(prompts, problems, steered=steered))
    if config := tracking.log_tracker_config:
        collecting(problems, lambda: read_toml(resolve_user_path(config, "file", where="--log_tracker_config")))
    extra = len(network.base_weights_multiplier) - len(network.base_weights)
    if network.base_weights and extra > 0:
        what = f"There are {extra} more multipliers than --base_weights."
        problems.add(UsageError(where="--base_weights_multiplier", what=what, fix="Give one per file."))


def _check_other_models(
    vae: str | None, network: NetworkOptions, base: CheckpointKind | None, problems: Problems
) -> None:
    path = model_path(vae, "--vae", problems) if vae else None
    if vae and path is not None and path.is_file():
        collecting(problems, partial(check_vae, path, vae))
    named = [("--base_weights", name) for name in network.base_weights]
    if network.network_weights:
        named.append(("--network_weights", network.network_weights))
    for where, name in named:
        path = model_path(name, where, problems, kind="file")
        # What the files of another package look like is its own affair.
        if path is not None and isinstance(network, LlliteOptions):
            collecting(problems, partial(check_lllite, path, name, network.cond_emb_dim, network.network_dim))
        elif path is not None and is_own(network.network_module):
            collecting(problems, partial(check_lora, path, name, where, base))


def _check_start_ranks(name: str, lora: LoraArgs) -> None:
    path = home_expanded(name)
    # Ranks of their own for every block are compared when the network is made.
    if path.is_file() and not (lora.block_ranks or lora.conv_block_ranks):
        check_ranks(path, name, lora.rank, lora.conv_rank)


def _check_sample_prompts(name: str, problems: Problems, *, steered: bool) -> None:
    """Read the whole file now: a mistake in it must not come up in the middle of a run."""
    found = read_sample_prompts(resolve_user_path(name, "file", where="--sample_prompts"))
    for note in found.notes:
        problems.warn(note)
    for number, prompt in enumerate(found.prompts if steered else ()):
        where = f"{name}, prompt {number}"
        if prompt.controlnet_image is None:
            problems.warn(f"{where}: without a control picture (--cn FILE) it shows the base model alone.")
        else:
            collecting(problems, partial(resolve_user_path, prompt.controlnet_image, "file", where=f"{where}: --cn"))


def collecting(problems: Problems, check: Callable[[], object]) -> None:
    """Run a check; what it raises joins the list."""
    try:
        check()
    except UserError as problem:
        problems.add(problem)


def model_path(name: str, where: str, problems: Problems, kind: str | None = None) -> Path | None:
    """The file or folder a name means; None for a hub id and after a complaint.

    Args:
        name: as the user typed it.
        where: the option.
        problems: the list.
        kind: "file" where neither a folder nor a hub id will do.
    """
    if kind is None and is_hub_id(name) and not Path(name).exists():
        return None
    is_folder = kind is None and home_expanded(name).is_dir()
    try:
        return resolve_user_path(name, "folder" if is_folder else "file", where=where)
    except UserError as problem:
        problems.add(problem)
        return None
