"""From `--optimizer_type` and its arguments to an optimizer over the network's parameter groups."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch.optim import Optimizer

from ..errors import EnvironmentProblem, UsageError
from ..events import Report
from ..formats.nearest import nearest
from ..formats.python_arguments import parse_arguments
from ..networks.base import ParameterGroup
from ..options.optimizer import OptimizerOptions
from ..options.optimizer_names import (
    KNOWN,
    finds_own_rate,
    has_own_schedule,
    is_adafactor,
    known_optimizer,
    missing_packages,
    packages_of,
    steps_relatively,
)

TYPE, ARGUMENTS = "--optimizer_type", "--optimizer_args"


class MadeOptimizer(NamedTuple):
    """An optimizer and how the metadata names it: `module.Class` and `key=value,key=value`."""

    optimizer: Optimizer
    name: str
    arguments: str

    @property
    def text(self) -> str:
        """`module.Class(key=value)`, without parentheses when there are no arguments: `ss_optimizer`."""
        return f"{self.name}({self.arguments})" if self.arguments else self.name


def make_optimizer(groups: Sequence[ParameterGroup], options: OptimizerOptions, report: Report) -> MadeOptimizer:
    """Build the optimizer that the options name.

    Args:
        groups: parameters with their learning rates.
        options: name, arguments and `learning_rate`, the default of groups.
        report: told what the optimizer does otherwise than the options say.

    Raises:
        UsageError: unknown name, or arguments that the class does not take.
        EnvironmentProblem: a package is missing.
    """
    name = options.chosen
    kind, arguments = chosen_class(options)
    sets_own_rate = is_adafactor(name) and arguments["relative_step"]
    rates = _group_rates(groups, report, none=sets_own_rate, one=finds_own_rate(name))
    parameters = [
        {"params": group.params} if lr is None else {"params": group.params, "lr": lr}
        for group, lr in zip(groups, rates, strict=True)
    ]
    rate = None if sets_own_rate else options.learning_rate
    optimizer = _construct(kind, parameters, rate, {**_fast_path(kind, groups, arguments), **arguments})
    if is_schedule_free(optimizer):
        _switch(optimizer, "train")
    text = ",".join(f"{key}={value}" for key, value in arguments.items())
    return MadeOptimizer(optimizer, f"{kind.__module__}.{kind.__name__}", text)


def chosen_class(options: OptimizerOptions) -> tuple[type[Optimizer], dict[str, Any]]:
    """The class that the options name, and its arguments; needs no parameters, so it can be asked early.

    Raises:
        UsageError: unknown name, or arguments that the class does not take.
        EnvironmentProblem: a package is missing.
    """
    name = options.chosen
    known = known_optimizer(name)
    _require_packages(name)
    kind = _import_class(known.path) if known else _other_class(name)
    arguments = {**(known.defaults if known else {}), **parse_arguments(options.optimizer_args, ARGUMENTS)}
    if is_adafactor(name):
        arguments["relative_step"] = steps_relatively(arguments)
    _check_arguments(kind, arguments)
    return kind, arguments


def is_schedule_free(optimizer: Optimizer) -> bool:
    """True when the optimizer needs no scheduler and must be told when training pauses."""
    return has_own_schedule(type(optimizer).__name__)


@contextmanager
def weights_for_use(optimizer: Optimizer) -> Iterator[None]:
    """Around sampling, validation and saving: schedule-free kinds put their averaged weights in place meanwhile."""
    if not is_schedule_free(optimizer):
        yield
        return
    weights = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    trained = [weight.detach().clone() for weight in weights]
    _switch(optimizer, "eval")
    try:
        yield
    finally:
        _switch(optimizer, "train")
        # Going there and back by interpolation leaves rounding errors: looking at a run would change it.
        with torch.no_grad():
            torch._foreach_copy_(weights, trained)


def adapted_rates(optimizer: Optimizer) -> list[float | None]:
    """`d*lr` of each group for D-Adaptation and Prodigy, None for others."""
    return [float(group["d"]) * float(group["lr"]) if "d" in group else None for group in optimizer.param_groups]


def _switch(optimizer: Optimizer, mode: str) -> None:
    # These two methods exist in schedule-free classes only.
    getattr(optimizer, mode)()


def _require_packages(name: str) -> None:
    missing = missing_packages(name)
    if missing:
        raise EnvironmentProblem(
            where=TYPE,
            what=f"{name} needs the package {missing[0]}, which is not installed.",
            fix=f"Install it in the trainer's environment: pip install {missing[0]}",
        )


def _import_class(path: str) -> type[Optimizer]:
    module, _, class_name = path.rpartition(".")
    if module.startswith("bitsandbytes"):
        # On a CPU it warns of missing 4-bit kernels, which no optimizer uses.
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        found = getattr(importlib.import_module(module), class_name, None)
    except ImportError as error:
        package = packages_of(path)[0]
        raise EnvironmentProblem(
            where=TYPE,
            what=f"{path} cannot be imported: {error}.",
            fix=f"Check the name, or install the package {package} again.",
        ) from error
    if not inspect.isclass(found):
        raise UsageError(where=TYPE, what=f"{module} has no class {class_name}.", fix="Capitals count in this form.")
    return cast(type[Optimizer], found)


def _other_class(name: str) -> type[Optimizer]:
    """A class of torch.optim, or the class that a dotted name means."""
    if "." in name:
        return _import_class(name)
    usable = {key: value for key, value in vars(torch.optim).items() if _takes_plain_steps(value)}
    if name in usable:
        return usable[name]
    close = nearest(name, [*KNOWN, *usable])
    raise UsageError(
        where=TYPE,
        what=f"{name!r} is not a known optimizer, nor one of torch.optim.",
        fix=f"Did you mean {close}?" if close else "Write AdamW, AdamW8bit, Lion, Adafactor, Prodigy or package.Class.",
    )


def _takes_plain_steps(value: object) -> bool:
    """True for optimizer classes that can step without computing the loss again (not LBFGS)."""
    if not (inspect.isclass(value) and issubclass(value, Optimizer) and value is not Optimizer):
        return False
    closure = inspect.signature(value.step).parameters.get("closure")
    return closure is None or closure.default is not inspect.Parameter.empty


def _group_rates(groups: Sequence[ParameterGroup], report: Report, *, none: bool, one: bool) -> list[float | None]:
    """Rate of each group: its own, none at all, or one for everybody."""
    rates: list[float | None] = [group.lr for group in groups]
    if none:
        if len(set(rates)) > 1:
            report.warning("Adafactor with relative_step=True finds its own rate; those of the groups have no effect.")
        return [None] * len(groups)
    if one and len(set(rates)) > 1:
        report.warning(f"This optimizer takes one learning rate for all groups: {rates[0]} is used.")
        return [rates[0]] * len(rates)
    return rates


def _check_arguments(kind: type[Optimizer], arguments: dict[str, Any]) -> None:
    taken = inspect.signature(kind.__init__).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    for key in arguments:
        if key in ("self", "params", "lr"):
            raise UsageError(where=ARGUMENTS, what=f"{key} cannot be set here.", fix="Use --learning_rate.")
        if key not in taken:
            close = nearest(key, [name for name in taken if name not in ("self", "params", "lr")])
            raise UsageError(
                where=ARGUMENTS,
                what=f"{kind.__name__} has no argument {key}.",
                fix=f"Did you mean {close}?" if close else f"It takes: {', '.join(list(taken)[3:])}.",
            )


def _fast_path(kind: type[Optimizer], groups: Sequence[ParameterGroup], arguments: dict[str, Any]) -> dict[str, bool]:
    """`fused=True` for the classes of torch that have it: one kernel for all parameters instead of many."""
    chosen = {"fused", "foreach", "differentiable"} & arguments.keys()
    if kind not in (torch.optim.AdamW, torch.optim.Adam, torch.optim.SGD, torch.optim.Adagrad) or chosen:
        return {}
    parameters = [parameter for group in groups for parameter in group.params]
    devices = {parameter.device.type for parameter in parameters}
    if kind is torch.optim.SGD and "cpu" in devices and any(p.dtype is not torch.float32 for p in parameters):
        # torch 2.13's kernel for a CPU leaves most weights of half precision as they were.
        return {}
    return {"fused": True} if devices <= {"cpu", "cuda"} else {}


def _construct(
    kind: type[Optimizer], parameters: list[dict[str, Any]], rate: float | None, arguments: dict[str, Any]
) -> Optimizer:
    try:
        return kind(parameters, lr=rate, **arguments)  # type: ignore[call-arg]
    except (TypeError, ValueError, AssertionError, NotImplementedError) as error:
        # These are how optimizer classes refuse arguments.
        raise UsageError(where=ARGUMENTS, what=f"{kind.__name__} does not accept these arguments: {error}.") from error
