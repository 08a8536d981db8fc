"""From `--lr_scheduler` and its kin to something that sets the learning rates after each update.

Steps count the updates of all processes together, as in sd-scripts: the run has max_train_steps times the number of
processes of them, and each update moves that many steps on. A warm-up given in whole steps counts the same steps.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ..errors import UsageError
from ..events import Report
from ..formats.nearest import nearest
from ..formats.python_arguments import parse_arguments
from ..options.optimizer import SchedulerOptions
from .lr_factors import SHAPES, Factor, Plan, make_factor
from .optimizers import is_schedule_free

NAME, TYPE, ARGUMENTS, WARMUP = "--lr_scheduler", "--lr_scheduler_type", "--lr_scheduler_args", "--lr_warmup_steps"


class RateSchedule(Protocol):
    """Sets the rates of an optimizer; `name` is what the metadata calls it."""

    name: str

    def step(self) -> None:
        """Move on; after every update."""

    def rates(self) -> list[float]:
        """The rate of each group for the next update."""

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from there; after the optimizer's state was loaded."""


class FactorSchedule:
    """Multiplies the rates that the groups had at the start by a factor of the step."""

    def __init__(self, name: str, optimizer: Optimizer, factor: Factor, processes: int) -> None:
        self.name, self.optimizer, self.factor, self.processes = name, optimizer, factor, processes
        self.starts = [float(group["lr"]) for group in optimizer.param_groups]
        self.count = 0
        self._set()

    def step(self) -> None:
        """Move on by one update of every process."""
        self.count += self.processes
        self._set()

    def rates(self) -> list[float]:
        """The rate of each group for the next update."""
        factor = self.factor(self.count)
        return [start * factor for start in self.starts]

    def state_dict(self) -> dict[str, Any]:
        """The step; the rest follows from the options."""
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a step."""
        self.count = int(state["count"])
        self._set()

    def _set(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.rates(), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate


class OwnRates:
    """For optimizers that find their rates themselves: schedule-free kinds and Adafactor's relative step.

    Args:
        initial: reported for a group until the optimizer has a rate of its own.
    """

    def __init__(self, name: str, optimizer: Optimizer, initial: float) -> None:
        self.name, self.optimizer, self.initial = name, optimizer, initial

    def step(self) -> None:
        """Nothing: the optimizer moved on by itself."""

    def rates(self) -> list[float]:
        """What the optimizer used last."""
        return [self._rate(group) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Empty; the optimizer's state holds everything."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do."""

    def _rate(self, group: dict[str, Any]) -> float:
        if group["lr"] is not None:
            return float(group["lr"])
        states = [self.optimizer.state[p] for p in group["params"] if self.optimizer.state.get(p)]
        # transformers keeps this computation private, and offers nothing else to read the rate by.
        return float(self.optimizer._get_lr(group, states[0])) if states else self.initial  # type: ignore[attr-defined]


class TorchSchedule:
    """A scheduler class of torch or of the user's choice."""

    def __init__(self, name: str, scheduler: LRScheduler, processes: int) -> None:
        self.name, self.scheduler, self.processes = name, scheduler, processes

    def step(self) -> None:
        """Move on by one update of every process."""
        with warnings.catch_warnings():
            # A first update that was skipped for a gradient that is not finite looks like a wrong order to torch.
            warnings.filterwarnings("ignore", message="Detected call of")
            for _ in range(self.processes):
                self.scheduler.step()

    def rates(self) -> list[float]:
        """The rate of each group for the next update."""
        return [float(rate) for rate in self.scheduler.get_last_lr()]

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's own."""
        return self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The scheduler's own."""
        self.scheduler.load_state_dict(state)


def make_scheduler(
    optimizer: Optimizer,
    options: SchedulerOptions,
    report: Report,
    *,
    learning_rate: float,
    total_steps: int,
    processes: int = 1,
) -> RateSchedule:
    """Build the schedule that the options name.

    Args:
        optimizer: its groups' rates are the ones at factor 1.
        options: name and numbers.
        report: told when the warm-up does not fit the run.
        learning_rate: `--learning_rate`.
        total_steps: updates of the whole run.
        processes: how many train together.

    Raises:
        UsageError: unknown names or arguments, or a warm-up where there can be none.
    """
    arguments = parse_arguments(options.lr_scheduler_args, ARGUMENTS)
    if is_schedule_free(optimizer):
        if options.lr_warmup_steps:
            report.warning(f"Schedule-free optimizers ignore {WARMUP}; theirs is --optimizer_args warmup_steps=100.")
        return OwnRates(options.lr_scheduler, optimizer, learning_rate)
    if any(group["lr"] is None for group in optimizer.param_groups):
        _refuse_warmup(options, "Adafactor with relative_step=True")
        return OwnRates(f"adafactor:{learning_rate}", optimizer, learning_rate)
    if options.lr_scheduler_type:
        _refuse_warmup(options, f"{TYPE} {options.lr_scheduler_type}")
        return TorchSchedule(options.lr_scheduler_type, _custom(options, optimizer, arguments), processes)
    name = options.lr_scheduler
    _check_name(name, arguments)
    if not SHAPES[name].takes_warmup:
        _refuse_warmup(options, f"The schedule {name}")
    total = total_steps * processes
    warmup, decay = _steps(options.lr_warmup_steps, total), _steps(options.lr_decay_steps, total)
    if warmup + decay > total:
        report.warning(f"Warm-up and decay take {warmup + decay} steps, the run has {total}: it ends before them.")
    plan = Plan(total, warmup, decay, learning_rate, options, arguments)
    return FactorSchedule(name, optimizer, make_factor(SHAPES[name], plan), processes)


def _steps(value: int | float, total: int) -> int:
    return int(value * total) if isinstance(value, float) else value


def _check_name(name: str, arguments: dict[str, Any]) -> None:
    if name.split(":")[0] == "adafactor":
        raise UsageError(
            where=NAME,
            what="adafactor is the schedule of Adafactor with relative_step=True only.",
            fix="Use --optimizer_type Adafactor, or another schedule.",
        )
    if name not in SHAPES:
        close = nearest(name, SHAPES)
        raise UsageError(
            where=NAME,
            what=f"{name!r} is not a known schedule.",
            fix=f"Did you mean {close}?" if close else f"Known: {', '.join(SHAPES)}.",
        )
    known = SHAPES[name].arguments
    for key in arguments:
        if key not in known:
            raise UsageError(
                where=ARGUMENTS,
                what=f"The schedule {name} has no argument {key}.",
                fix=f"It takes: {', '.join(known)}." if known else "It takes none.",
            )


def _refuse_warmup(options: SchedulerOptions, what: str) -> None:
    if options.lr_warmup_steps:
        raise UsageError(
            where=WARMUP,
            what=f"{what} takes no warm-up, and {options.lr_warmup_steps} is set.",
            fix="Set --lr_warmup_steps=0, or use constant_with_warmup.",
        )


def _custom(options: SchedulerOptions, optimizer: Optimizer, arguments: dict[str, Any]) -> LRScheduler:
    kind = scheduler_class(options.lr_scheduler_type)
    try:
        scheduler: LRScheduler = kind(optimizer, **arguments)
    except (TypeError, ValueError) as error:
        # These are how scheduler classes refuse arguments.
        raise UsageError(where=ARGUMENTS, what=f"{kind.__name__} does not accept these arguments: {error}.") from error
    return scheduler


def scheduler_class(text: str) -> Any:
    """The class that `--lr_scheduler_type` names.

    Raises:
        UsageError: there is none, or it needs what no trainer here gives.
    """
    module_name, _, name = text.rpartition(".")
    try:
        module = importlib.import_module(module_name) if module_name else torch.optim.lr_scheduler
    except ImportError as error:
        raise UsageError(where=TYPE, what=f"{module_name} cannot be imported: {error}.") from error
    kind = getattr(module, name, None)
    if not inspect.isclass(kind) or kind is LRScheduler:
        close = nearest(name, _scheduler_names())
        raise UsageError(
            where=TYPE,
            what=f"{text!r} is not a scheduler class.",
            fix=f"Did you mean {close}?" if close else "Write a name of torch.optim.lr_scheduler or package.Class.",
        )
    if issubclass(kind, ReduceLROnPlateau):
        raise UsageError(where=TYPE, what=f"{text} follows a measured loss, which this trainer does not hand to it.")
    return kind


def _scheduler_names() -> Sequence[str]:
    return [name for name, value in vars(torch.optim.lr_scheduler).items() if inspect.isclass(value)]
