"""Everything that is looked at before a model is loaded: settings, files, pictures, disk. Without torch.

The trainers and `plan` ask the same function, so that what the plan promises is what the run does.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .checkpoint.resume_check import check_resume
from .commands import PROMPTS, Command
from .data.counting import Counts, count_steps
from .engine.lr_factors import SHAPES, Plan, make_factor
from .errors import EnvironmentProblem, Problems, UsageError, UserError
from .events import Report
from .formats.base_model import kind_at
from .formats.checkpoint_kind import CheckpointKind, base_model_problem, prediction_warnings
from .formats.leco_prompts import read_leco_prompts
from .formats.nearest import nearest
from .formats.python_arguments import parse_arguments
from .hub.checks import check_hub
from .named_files import check_files, collecting, model_path
from .networks.lora_args import LoraArgs, parse_lora_args
from .networks.module_names import check_module, is_own
from .options.blocks import BlockLayout
from .options.checks import check_initial_step, check_settings
from .options.dataset import DatasetOptions
from .options.dataset_checks import check_plans
from .options.dataset_file import dataset_plans
from .options.dataset_plan import DatasetPlan
from .options.leco import LecoOptions
from .options.lllite import LlliteOptions
from .options.model import AttentionOptions, ModelOptions
from .options.network import NetworkOptions
from .options.optimizer import OptimizerOptions, SchedulerOptions
from .options.optimizer_checks import check_optimizer
from .options.optimizer_names import finds_own_rate, has_own_schedule, is_adafactor
from .options.saving import DIFFUSERS_FILES, ResumeOptions, SavingOptions
from .options.spec import Settings
from .options.tracking import TrackingOptions
from .options.training import TrainingOptions
from .paths import ANYWHERE, PathPolicy, resolve_user_path

if TYPE_CHECKING:
    from .data.records import Scan


@dataclass(frozen=True)
class Asker:
    """Who looks, and from where.

    Args:
        typed_at_shell: settings come from a person at the shell, who may name any Python module.
        processes: how many train together.
        trains_here: this interpreter will train, so that what is not installed here is missing.
        policy: where folders and pictures of the data may lie.
        scan: looks at the pictures, in place of `data.scan.scan` and with the same arguments.
        fetch: brings a state that lies on the hub and gives the settings that name its folder; without it, such a
            state is not looked into.
    """

    typed_at_shell: bool = True
    processes: int = 1
    trains_here: bool = True
    policy: PathPolicy = ANYWHERE
    scan: Callable[..., Scan] | None = None
    fetch: Callable[[Settings], Settings] | None = None


AT_THE_SHELL = Asker()


@dataclass(frozen=True)
class Preflight:
    """What was found.

    Args:
        settings: of the run.
        plans, scan: its data, as asked for and as found.
        counts: batches, steps and epochs; None when there are no pictures.
        base: what the base model is; None when only loading it tells.
        lora: arguments of our own network; None for networks of other packages.
    """

    settings: Settings
    plans: tuple[DatasetPlan, ...]
    scan: Scan
    counts: Counts | None
    base: CheckpointKind | None
    lora: LoraArgs | None


def examine(
    command: Command,
    settings: Settings,
    problems: Problems,
    report: Report | None = None,
    asker: Asker = AT_THE_SHELL,
) -> Preflight:
    """Look at everything a run needs; what is wrong goes to `problems`.

    Args:
        command: what is going to run.
        settings: parsed.
        problems: receives every problem and warning.
        report: told about progress.
        asker: who looks.
    """
    # Imported here: reading pictures needs Pillow, and --help has to do without.
    from .data.scan import scan

    check_settings(settings, problems)
    check_optimizer(settings, problems, typed_at_shell=asker.typed_at_shell)
    lora = _check_network(settings, command.blocks, asker.typed_at_shell, problems)
    base = _check_base_model(settings[ModelOptions], command.bases, problems)
    check_files(settings, base, lora, problems)
    check_hub(settings, problems)
    if asker.trains_here:
        _check_packages(settings, problems)
        _check_launcher(settings, problems)
    if command.reads == PROMPTS:
        plans: tuple[DatasetPlan, ...] = ()
        found = _look_at_prompts(settings, asker, problems)
    else:
        plans = dataset_plans(settings, problems, asker.policy)
        check_plans(settings, plans, command.bucket_step, problems)
        look, seed = asker.scan or scan, settings[TrainingOptions].seed
        found = look(plans, settings[DatasetOptions], report, problems, seed=seed, roots=asker.policy.roots)
    counts = _count(settings, found, asker.processes, problems)
    _check_schedule(settings, counts, problems)
    if not asker.trains_here:
        problems.errors = [error for error in problems.errors if not isinstance(error, EnvironmentProblem)]
    if not problems.errors:
        # Pictures that cannot be read, for one, are other pictures than those of the state.
        settings = _with_checked_state(settings, found, asker, problems)
    return Preflight(settings, plans, found, counts, base, lora)


def _look_at_prompts(settings: Settings, asker: Asker, problems: Problems) -> Scan:
    """The pairs of the prompt file; a run is one epoch of as many micro-batches as its steps need."""
    from .data.prompt_scan import PromptScan, scan_prompts

    name, training = settings[LecoOptions].prompts_file, settings[TrainingOptions]
    if not name:
        what, fix = "The file with the prompts was not named.", "Add --prompts_file=FILE.toml."
        problems.add(UsageError(where="--prompts_file", what=what, fix=fix))
        return PromptScan(())
    batches = training.max_train_steps * training.gradient_accumulation_steps * asker.processes
    try:
        path = resolve_user_path(name, "file", where="--prompts_file", policy=asker.policy)
        return scan_prompts(read_leco_prompts(path, asker.policy), path, batches)
    except UserError as problem:
        problems.add(problem)
        return PromptScan(())


def _with_checked_state(settings: Settings, found: Scan, asker: Asker, problems: Problems) -> Settings:
    """The settings, with a state that lay on the hub brought here, once the run is found to go on from it."""
    try:
        here = asker.fetch(settings) if asker.fetch else settings
        check_resume(here, found.fingerprint, asker.processes)
    except UserError as problem:
        problems.add(problem)
        return settings
    return here


def examine_all(
    command: Command,
    settings: Settings,
    problems: Problems,
    report: Report | None = None,
    asker: Asker = AT_THE_SHELL,
) -> Preflight:
    """`examine`, for settings of which some could not be read.

    Those are reported for that, not for what follows from their absence.
    """
    unreadable = {name for problem in problems.errors for name in _names_in(problem.where)}
    later = Problems()
    found = examine(command, settings, later, report, asker)
    for warning in later.warnings:
        problems.warn(warning)
    for problem in later.errors:
        names = _names_in(problem.where)
        # Without its config file a run lacks everything that stands in there.
        follows = "config_file" in unreadable and names and names.isdisjoint(settings.given)
        if not follows and unreadable.isdisjoint(names):
            problems.add(problem)
    return found


def _names_in(where: str) -> set[str]:
    """Option names in a problem's place: `--seed`, `file.toml:3 (seed)` or `data.toml:3 datasets[0].resolution`."""
    return {"".join(found) for found in re.findall(r"--(\w+)|\((\w+)\)$|\]\.(\w+)$", where)}


def process_count() -> int:
    """How many processes `accelerate launch` or torchrun started together."""
    return int(os.environ.get("WORLD_SIZE", "1") or 1)


def _check_network(
    settings: Settings, blocks: BlockLayout, typed_at_shell: bool, problems: Problems
) -> LoraArgs | None:
    options = settings[NetworkOptions]
    if isinstance(options, LlliteOptions):
        _check_lllite(options, settings[SavingOptions], problems)
        return None
    module = options.network_module
    collecting(problems, lambda: check_module(module, typed_at_shell=typed_at_shell))
    if not is_own(module):
        _check_format(settings[SavingOptions], "networks.lora", problems)
        _refuse_eight_bits(settings[ModelOptions], str(module), problems)
        return None
    lora = parse_lora_args(
        options.network_args,
        problems,
        rank=options.network_dim,
        alpha=options.network_alpha,
        dropout=options.network_dropout,
        blocks=blocks,
    )
    name = settings[OptimizerOptions].chosen
    if finds_own_rate(name) and (lora.plus_unet or lora.plus_text_encoder):
        problems.warn(
            f"--network_args: LoRA+ ratios do not go together with {name}, which has one rate for everything."
        )
    return lora


def _refuse_eight_bits(options: ModelOptions, module: str, problems: Problems) -> None:
    """Networks of other packages compute with the base's weights themselves, which float8 is not made for."""
    for name in ("fp8_base", "fp8_base_unet"):
        if getattr(options, name):
            what = f"It works with networks.lora only, not with {module}."
            problems.add(UsageError(where=f"--{name}", what=what, fix="Leave one of them out."))


def _check_lllite(options: LlliteOptions, saving: SavingOptions, problems: Problems) -> None:
    for name, value, usual in (("cond_emb_dim", options.cond_emb_dim, 32), ("network_dim", options.network_dim, 64)):
        if value is None:
            fix = f"Add --{name}={usual}, which is usual."
            problems.add(UsageError(where=f"--{name}", what="The size of the control network is missing.", fix=fix))
    if (options.cond_emb_dim or 0) % 2:
        what = f"{options.cond_emb_dim} is odd; half of it is needed too."
        problems.add(UsageError(where="--cond_emb_dim", what=what, fix="Use an even number; 32 is usual."))
    _check_format(saving, "LoRA", problems)


def _check_format(saving: SavingOptions, maker: str, problems: Problems) -> None:
    if saving.save_model_as in DIFFUSERS_FILES:
        what = f"{saving.save_model_as} is for {maker}: only a plain LoRA has names in diffusers."
        fix = "Use --save_model_as=safetensors."
        problems.add(UsageError(where="--save_model_as", what=what, fix=fix))


def _check_base_model(options: ModelOptions, bases: tuple[str, ...], problems: Problems) -> CheckpointKind | None:
    """What a local model is, and whether the flags fit it; hub ids and .ckpt files are known only when loaded."""
    name = options.pretrained_model_name_or_path
    if not name:
        return None
    path = model_path(name, "--pretrained_model_name_or_path", problems)
    if path is None:
        return None
    try:
        kind = kind_at(path)
    except UserError as problem:
        problems.add(problem)
        return None
    if kind is None:
        return None
    misfit = base_model_problem(kind, name, bases=bases, v2=options.v2, needs_vae=not options.vae)
    if misfit:
        problems.add(misfit)
    for warning in prediction_warnings(
        kind, name, v_parameterization=options.v_parameterization, zero_terminal_snr=options.zero_terminal_snr
    ):
        problems.warn(warning)
    return kind


def _check_packages(settings: Settings, problems: Problems) -> None:
    """V44, for what is not an optimizer or a network; of the interpreter that trains."""
    tracking = settings[TrackingOptions]
    wanted = {"wandb": ("wandb", "all"), "tensorboard": ("tensorboard", "all")}
    chosen = tracking.log_with or ("tensorboard" if tracking.logging_dir else None)
    for package, names in wanted.items():
        if chosen in names and importlib.util.find_spec(package) is None:
            what = f"{chosen} needs the package {package}, which is not installed."
            fix = f"Install it in the trainer's environment: pip install {package}"
            problems.add(EnvironmentProblem(where="--log_with", what=what, fix=fix))
    if settings[AttentionOptions].xformers and importlib.util.find_spec("xformers") is None:
        problems.warn("--xformers: the package is not installed; PyTorch's own attention is used.")


def _check_launcher(settings: Settings, problems: Problems) -> None:
    """`accelerate launch` has a precision too, which sd-scripts does not follow either."""
    of_launcher, used = os.environ.get("ACCELERATE_MIXED_PRECISION", "no"), settings[TrainingOptions].mixed_precision
    if of_launcher not in ("no", used) and "mixed_precision" not in settings.given:
        problems.warn(
            f"--mixed_precision: accelerate launch was given {of_launcher}, which is not handed on; this run computes "
            f"with {used}. Add --mixed_precision={of_launcher} behind the name of the script."
        )


def _count(settings: Settings, found: Scan, processes: int, problems: Problems) -> Counts | None:
    batches = found.batches_per_epoch()
    if not batches:
        return None
    training, resume = settings[TrainingOptions], settings[ResumeOptions]
    counts = count_steps(
        batches,
        max_train_steps=training.max_train_steps,
        max_train_epochs=training.max_train_epochs,
        accumulation=training.gradient_accumulation_steps,
        processes=processes,
    )
    if resume.initial_step is not None:
        check_initial_step(resume.initial_step, counts.max_train_steps, problems)
    elif resume.initial_epoch is not None and resume.initial_epoch > counts.num_epochs:
        what = f"{resume.initial_epoch} is behind the last epoch of the run, {counts.num_epochs}."
        problems.add(UsageError(where="--initial_epoch", what=what, fix="Lower it, or train longer."))
    return counts


def _check_schedule(settings: Settings, counts: Counts | None, problems: Problems) -> None:
    """The schedule's name, arguments and numbers, with the real length of the run where that is known."""
    options, optimizer = settings[SchedulerOptions], settings[OptimizerOptions]
    name = options.lr_scheduler
    is_other = options.lr_scheduler_type or has_own_schedule(optimizer.chosen) or is_adafactor(optimizer.chosen)
    if is_other or name.split(":")[0] == "adafactor":
        return
    if name not in SHAPES:
        close = nearest(name, SHAPES)
        fix = f"Did you mean {close}?" if close else f"Known: {', '.join(SHAPES)}."
        problems.add(UsageError(where="--lr_scheduler", what=f"{name!r} is not a known schedule.", fix=fix))
        return
    try:
        arguments = parse_arguments(options.lr_scheduler_args, "--lr_scheduler_args")
    except UserError:
        # check_optimizer has told it.
        return
    total = counts.max_train_steps if counts else settings[TrainingOptions].max_train_steps
    warmup, decay = (
        int(value * total) if isinstance(value, float) else value
        for value in (options.lr_warmup_steps, options.lr_decay_steps)
    )
    if counts and warmup > total:
        problems.warn(f"--lr_warmup_steps: the warm-up of {warmup} steps is longer than the run of {total}.")
    plan = Plan(total, warmup, decay, optimizer.learning_rate, options, arguments)
    collecting(problems, lambda: make_factor(SHAPES[name], plan))
