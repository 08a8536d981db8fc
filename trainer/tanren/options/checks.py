"""Settings that contradict each other or promise what cannot be: everything that can be told without opening a file.

Each check adds to one list of problems. V-numbers are those of the table of validation rules in the option reference.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Problems, UsageError, UserError
from ..formats.nearest import nearest
from ..paths import check_created_name
from .dataset import DatasetOptions
from .loss import LossOptions
from .model import ModelOptions
from .network import NetworkOptions
from .optimizer import OptimizerOptions
from .rates import leaves_text_encoders_out, text_encoder_rates
from .sampling import SamplingOptions
from .saving import COMPARED_FACTS, COMPARED_VERSIONS, ResumeOptions, SavingOptions
from .spec import Conflicts, Refuses, Requires, Settings
from .tracking import TrackingOptions
from .training import TrainingOptions


def check_settings(settings: Settings, problems: Problems) -> None:
    """Add everything that is wrong with the settings themselves to `problems`."""
    check_declared_rules(settings, problems)
    for check in CHECKS:
        check(settings, problems)


def check_declared_rules(settings: Settings, problems: Problems) -> None:
    """`Requires`, `Conflicts` and `Refuses` of all groups (V01, V02, V04 to V07, V10, V12, V24, V38, V39)."""
    flat = settings.flat()
    for group in settings.groups():
        for rule in getattr(group, "rules", ()):
            _check_rule(rule, flat, problems)


def _check_rule(rule: Requires | Conflicts | Refuses, flat: Mapping[str, Any], problems: Problems) -> None:
    if not flat.get(rule.option):
        return
    where = f"--{rule.option}"
    if isinstance(rule, Requires) and not flat.get(rule.other):
        what, fix = f"It needs --{rule.other}: {rule.because}.", f"Add --{rule.other}, or leave --{rule.option} out."
    elif isinstance(rule, Conflicts) and flat.get(rule.other):
        what, fix = f"It cannot go together with --{rule.other}: {rule.because}.", "Leave one of them out."
    elif isinstance(rule, Refuses):
        what, fix = f"It {'has no effect' if rule.warns else 'does not fit'}: {rule.because}.", f"Leave {where} out."
    else:
        return
    if rule.warns:
        problems.warn(f"{where}: {what}")
    else:
        problems.add(UsageError(where=where, what=what, fix=fix))


def _needed(settings: Settings, problems: Problems) -> None:
    if not settings[ModelOptions].pretrained_model_name_or_path:
        fix = "Add --pretrained_model_name_or_path=MODEL.safetensors, or a diffusers folder."
        problems.add(UsageError(where="--pretrained_model_name_or_path", what="The base model was not named.", fix=fix))
    if not settings[SavingOptions].output_dir:
        fix = "Add --output_dir=FOLDER; it is made when it is missing."
        problems.add(UsageError(where="--output_dir", what="The folder of the results was not named.", fix=fix))


def _clip_skip_of_v2(settings: Settings, problems: Problems) -> None:
    """V03."""
    model = settings[ModelOptions]
    if model.v2 and model.clip_skip is not None:
        problems.warn("--clip_skip is unusual for --v2: these models use the last layer but one already.")


def _trained_precision(settings: Settings, problems: Problems) -> None:
    """V20."""
    training = settings[TrainingOptions]
    for precision in ("fp16", "bf16"):
        if getattr(training, f"full_{precision}") and training.mixed_precision != precision:
            what = f"It needs --mixed_precision {precision}, which is {training.mixed_precision}."
            problems.add(UsageError(where=f"--full_{precision}", what=what, fix=f"Set --mixed_precision {precision}."))


def _frozen_precision(settings: Settings, problems: Problems) -> None:
    """V21."""
    model, precision = settings[ModelOptions], settings[TrainingOptions].mixed_precision
    for name in ("fp8_base", "fp8_base_unet"):
        if getattr(model, name) and precision == "no":
            what = "Weights in 8 bits are cast to half precision to compute, and --mixed_precision is no."
            problems.add(UsageError(where=f"--{name}", what=what, fix="Set --mixed_precision bf16 or fp16."))


def _something_is_trained(settings: Settings, problems: Problems) -> None:
    """V39 in its other form: a learning rate of exactly 0 leaves a part out."""
    network, rates = settings[NetworkOptions], settings[OptimizerOptions]
    if network.network_train_unet_only and network.network_train_text_encoder_only:
        return
    unet = not network.network_train_text_encoder_only and not rates.leaves_unet_out
    text = not network.network_train_unet_only and not leaves_text_encoders_out(settings)
    if not unet and not text:
        text_is_zero = bool(text_encoder_rates(settings)) and leaves_text_encoders_out(settings)
        where = "--unet_lr" if rates.unet_lr == 0 else "--text_encoder_lr" if text_is_zero else "--learning_rate"
        what = "Nothing would be trained: a learning rate of 0 leaves its part out."
        problems.add(UsageError(where=where, what=what, fix="Set a learning rate above 0."))


def _timesteps(settings: Settings, problems: Problems) -> None:
    loss = settings[LossOptions]
    low, high = loss.min_timestep or 0, loss.max_timestep if loss.max_timestep is not None else 1000
    if low >= high:
        what = f"No timestep is left: {low} is not below --max_timestep {high}."
        problems.add(UsageError(where="--min_timestep", what=what, fix="Lower it, or raise --max_timestep."))


def _caption_encoding(settings: Settings, problems: Problems) -> None:
    encoding = settings[DatasetOptions].caption_encoding
    try:
        codecs.lookup(encoding)
    except LookupError:
        fix = "Write a name such as utf-8, cp932 or gbk."
        problems.add(
            UsageError(where="--caption_encoding", what=f"{encoding!r} is not the name of an encoding.", fix=fix)
        )


def _output_name(settings: Settings, problems: Problems) -> None:
    """Every name that will be made of it has to be a file name on every system."""
    saving = settings[SavingOptions]
    for ending in ("", "-step00000000-state"):
        if saving.output_name:
            try:
                check_created_name(f"{saving.output_name}{ending}", where="--output_name")
            except UserError as problem:
                problem.what = problem.what.replace(f"{ending}'", "'")
                problems.add(problem)
                return


def _saving(settings: Settings, problems: Problems) -> None:
    saving = settings[SavingOptions]
    by_epoch, by_step = saving.save_every_n_epochs or saving.save_n_epoch_ratio, saving.save_every_n_steps
    for unit, is_saved in (("epochs", by_epoch), ("steps", by_step)):
        for name in (f"save_last_n_{unit}", f"save_last_n_{unit}_state"):
            if getattr(saving, name) is not None and not is_saved:
                problems.warn(f"--{name} has no effect without --save_every_n_{unit}.")


def _start(settings: Settings, problems: Problems) -> None:
    """V42, and the settings that may change on resuming."""
    resume, training = settings[ResumeOptions], settings[TrainingOptions]
    if resume.initial_step is not None and not training.max_train_epochs:
        check_initial_step(resume.initial_step, training.max_train_steps, problems)
    if resume.skip_until_initial_step and not (resume.initial_step or resume.initial_epoch or resume.resume):
        problems.warn("--skip_until_initial_step has no effect without --initial_step, --initial_epoch or --resume.")
    if resume.allow_changes and not resume.resume:
        problems.warn("--allow_changes has no effect without --resume.")
    known = [*settings.flat(), *COMPARED_FACTS, *COMPARED_VERSIONS]
    for name in resume.allow_changes:
        if name not in known:
            close = nearest(name, known)
            fix = f"Did you mean {close}?" if close else "Write option names without dashes."
            problems.add(UsageError(where="--allow_changes", what=f"{name!r} is not an option.", fix=fix))


def check_initial_step(initial_step: int, max_train_steps: int, problems: Problems) -> None:
    """V42: a run that starts at its end trains nothing."""
    if initial_step >= max_train_steps:
        what = f"{initial_step} is not below the length of the run, {max_train_steps} steps."
        problems.add(UsageError(where="--initial_step", what=what, fix="Lower it, or raise --max_train_steps."))


def _trackers(settings: Settings, problems: Problems) -> None:
    """V43."""
    tracking = settings[TrackingOptions]
    if tracking.log_with in ("tensorboard", "all") and not tracking.logging_dir:
        what = f"{tracking.log_with} needs a folder for its logs."
        problems.add(UsageError(where="--log_with", what=what, fix="Add --logging_dir=FOLDER."))


def _samples(settings: Settings, problems: Problems) -> None:
    sampling = settings[SamplingOptions]
    is_due = bool(sampling.sample_every_n_steps or sampling.sample_every_n_epochs or sampling.sample_at_first)
    if is_due and not sampling.sample_prompts:
        problems.warn("No sample pictures will be drawn: --sample_prompts is missing.")
    if sampling.sample_prompts and not is_due:
        problems.warn(
            "No sample pictures will be drawn: add --sample_every_n_epochs, --sample_every_n_steps or the like."
        )


def _workers(settings: Settings, problems: Problems) -> None:
    training = settings[TrainingOptions]
    if training.persistent_data_loader_workers and training.max_data_loader_n_workers == 0:
        problems.warn("--persistent_data_loader_workers has no effect: --max_data_loader_n_workers is 0.")


CHECKS: tuple[Callable[[Settings, Problems], None], ...] = (
    _needed,
    _clip_skip_of_v2,
    _trained_precision,
    _frozen_precision,
    _something_is_trained,
    _timesteps,
    _caption_encoding,
    _output_name,
    _saving,
    _start,
    _trackers,
    _samples,
    _workers,
)
