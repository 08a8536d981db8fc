"""Whether optimizer, learning rates and schedule fit each other (V22 to V28, V44)."""

from __future__ import annotations

from typing import Any

from ..errors import EnvironmentProblem, Problems, UsageError, UserError
from ..formats.python_arguments import parse_arguments
from .network import NetworkOptions
from .optimizer import OptimizerOptions, SchedulerOptions
from .optimizer_names import finds_own_rate, has_own_schedule, is_adafactor, missing_packages, steps_relatively
from .rates import text_encoder_rates
from .spec import Settings
from .training import TrainingOptions

LOW_FACTOR = 0.1
KNOWN_PACKAGES = (
    "torch",
    "bitsandbytes",
    "lion_pytorch",
    "dadaptation",
    "prodigyopt",
    "prodigyplus",
    "transformers",
    "schedulefree",
)


def check_optimizer(settings: Settings, problems: Problems, *, typed_at_shell: bool = True) -> None:
    """Add what is wrong with the optimizer, its rates and its schedule to `problems`.

    Args:
        settings: of the run.
        problems: the list.
        typed_at_shell: names come from a person at the shell, who may name any class.
    """
    options, scheduler = settings[OptimizerOptions], settings[SchedulerOptions]
    name = options.chosen
    if not typed_at_shell:
        _refuse_unknown_code("--optimizer_type", name, problems)
        _refuse_unknown_code("--lr_scheduler_type", scheduler.lr_scheduler_type, problems)
    arguments = _arguments(options.optimizer_args, "--optimizer_args", problems)
    _arguments(scheduler.lr_scheduler_args, "--lr_scheduler_args", problems)
    for package in missing_packages(name):
        problems.add(
            EnvironmentProblem(
                where="--optimizer_type",
                what=f"{name} needs the package {package}, which is not installed.",
                fix=f"Install it in the trainer's environment: pip install {package}",
            )
        )
    if options.fused_backward_pass:
        _check_fused(name, settings[TrainingOptions], problems)
    if finds_own_rate(name):
        _check_factors(name, _rates_in_use(settings), problems)
    relative = is_adafactor(name) and steps_relatively(arguments)
    if is_adafactor(name) and not relative:
        _check_fixed_adafactor(options, scheduler, arguments, problems)
    _check_schedule(name, scheduler, relative, problems)


def _refuse_unknown_code(where: str, name: str, problems: Problems) -> None:
    """A dotted name runs the code of its package, so packages nobody knows are only taken from the shell."""
    package = name.split(".")[0]
    if "." in name and package not in KNOWN_PACKAGES:
        what = f"{name!r} is not one of the classes that may be chosen here."
        fix = f"Use a class of {', '.join(KNOWN_PACKAGES)}, or start the run from the command line."
        problems.add(UsageError(where=where, what=what, fix=fix))


def _arguments(words: tuple[str, ...], where: str, problems: Problems) -> dict[str, Any]:
    try:
        return parse_arguments(words, where)
    except UserError as problem:
        problems.add(problem)
        return {}


def _check_fused(name: str, training: TrainingOptions, problems: Problems) -> None:
    """V22, V23, and float16, whose gradients are scaled all at once."""
    where = "--fused_backward_pass"
    if not is_adafactor(name):
        problems.add(
            UsageError(where=where, what=f"It works with Adafactor only, not with {name}.", fix="Leave it out.")
        )
    if training.gradient_accumulation_steps > 1:
        what = f"It cannot go together with --gradient_accumulation_steps {training.gradient_accumulation_steps}."
        problems.add(UsageError(where=where, what=what, fix="Leave one of them out."))
    if training.mixed_precision == "fp16":
        what = "It cannot go together with --mixed_precision fp16, which scales all gradients at once."
        problems.add(UsageError(where=where, what=what, fix="Set --mixed_precision bf16, or leave it out."))


def _rates_in_use(settings: Settings) -> list[float]:
    """Learning rates of the parts that are trained, in the order of the parameter groups."""
    options, network = settings[OptimizerOptions], settings[NetworkOptions]
    rates: list[float] = []
    if not network.network_train_unet_only:
        rates += text_encoder_rates(settings) or (options.learning_rate,)
    if not network.network_train_text_encoder_only:
        rates.append(options.learning_rate if options.unet_lr is None else options.unet_lr)
    return [rate for rate in rates if rate != 0]


def _check_factors(name: str, rates: list[float], problems: Problems) -> None:
    """V27."""
    if len(set(rates)) > 1:
        problems.warn(f"{name} has one learning rate for everything: of {rates} only the first counts.")
    if rates and max(rates) <= LOW_FACTOR:
        problems.warn(f"{name} finds the rate itself: the learning rate is a factor near 1, and {max(rates):g} is set.")


def _check_fixed_adafactor(
    options: OptimizerOptions, scheduler: SchedulerOptions, arguments: dict[str, Any], problems: Problems
) -> None:
    """V28."""
    advice = []
    if options.max_grad_norm != 0:
        advice.append("--max_grad_norm=0")
    if scheduler.lr_scheduler != "constant_with_warmup":
        advice.append("--lr_scheduler=constant_with_warmup")
    if arguments.get("clip_threshold", 1.0) != 1.0:
        advice.append("clip_threshold=1.0")
    if advice:
        problems.warn(f"Adafactor with relative_step=False is usually run with {', '.join(advice)}.")


def _check_schedule(name: str, scheduler: SchedulerOptions, relative: bool, problems: Problems) -> None:
    """V25, V26."""
    if has_own_schedule(name):
        return
    without_warmup = ""
    if relative:
        without_warmup = "Adafactor with relative_step=True"
    elif scheduler.lr_scheduler_type:
        without_warmup = f"--lr_scheduler_type {scheduler.lr_scheduler_type}"
    elif scheduler.lr_scheduler == "constant":
        without_warmup = "The schedule constant"
    if without_warmup and scheduler.lr_warmup_steps:
        what = f"{without_warmup} takes no warm-up, and {scheduler.lr_warmup_steps} is set."
        fix = "Set --lr_warmup_steps=0, or use --lr_scheduler=constant_with_warmup."
        problems.add(UsageError(where="--lr_warmup_steps", what=what, fix=fix))
    if scheduler.lr_scheduler.split(":")[0] == "adafactor" and not relative:
        what = "adafactor is the schedule of Adafactor with relative_step=True only."
        fix = "Use --optimizer_type=Adafactor, or another schedule."
        problems.add(UsageError(where="--lr_scheduler", what=what, fix=fix))
