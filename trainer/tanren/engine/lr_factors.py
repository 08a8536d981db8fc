"""Learning rate schedules as functions from the step to a factor of the rate.

In the formulas i is the step, N all steps, w the warm-up, d the decay and p = (i − w)/(N − w) the position after the
warm-up. They are those of diffusers and transformers, whose names the options use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..options.optimizer import SchedulerOptions

Factor = Callable[[int], float]
ARGUMENTS = "--lr_scheduler_args"
POLYNOMIAL_END = 1e-7
TIMESCALE = 10_000
CURVES = ("linear", "cosine", "1-sqrt")


@dataclass(frozen=True)
class Plan:
    """What a schedule is made from.

    Args:
        total, warmup, decay: steps: N, w and d.
        rate: the default learning rate.
        options: everything else that was asked for.
        arguments: `--lr_scheduler_args`.
    """

    total: int
    warmup: int
    decay: int
    rate: float
    options: SchedulerOptions
    arguments: Mapping[str, Any]

    def position(self, step: int) -> float:
        """p; 0 at the end of the warm-up, 1 at the end of the run."""
        return (step - self.warmup) / max(1, self.total - self.warmup)


def constant(plan: Plan) -> Factor:
    """1."""
    return lambda step: 1.0


def linear(plan: Plan) -> Factor:
    """1 − p, never below 0."""
    return lambda step: max(0.0, 1 - plan.position(step))


def cosine(plan: Plan) -> Factor:
    """Half a cosine wave down to 0; the argument `num_cycles` gives more waves."""
    cycles = float(plan.arguments.get("num_cycles", 0.5))
    return lambda step: _wave(2 * cycles * plan.position(step))


def cosine_with_restarts(plan: Plan) -> Factor:
    """`--lr_scheduler_num_cycles` half waves, each from 1 to 0."""
    cycles = plan.options.lr_scheduler_num_cycles

    def factor(step: int) -> float:
        p = plan.position(step)
        return 0.0 if p >= 1 else _wave(cycles * p % 1)

    return factor


def polynomial(plan: Plan) -> Factor:
    """From the rate down to `lr_end` (1e-7) along (1 − p) to `--lr_scheduler_power`."""
    end = float(plan.arguments.get("lr_end", POLYNOMIAL_END))
    power = plan.options.lr_scheduler_power
    if plan.rate <= end:
        raise UsageError(
            where="--learning_rate",
            what=f"{plan.rate} is not above {end}, where the polynomial schedule ends.",
            fix=f"Take a higher rate, or {ARGUMENTS} lr_end={end / 100:g}.",
        )

    def factor(step: int) -> float:
        left = max(0.0, 1 - plan.position(step))
        return ((plan.rate - end) * left**power + end) / plan.rate

    return factor


def inverse_sqrt(plan: Plan) -> Factor:
    """1/√((i + τ − w)/τ) with τ = `--lr_scheduler_timescale`, or w, or 10000."""
    timescale = plan.options.lr_scheduler_timescale or plan.warmup or TIMESCALE
    return lambda step: 1 / math.sqrt((step + timescale - plan.warmup) / timescale)


def cosine_with_min_lr(plan: Plan) -> Factor:
    """A cosine from 1 to `--lr_scheduler_min_lr_ratio`; half of `--lr_scheduler_num_cycles` counts as its cycles."""
    lowest = plan.options.lr_scheduler_min_lr_ratio
    if lowest is None:
        raise UsageError(
            where="--lr_scheduler",
            what="cosine_with_min_lr needs --lr_scheduler_min_lr_ratio.",
            fix="Set it, such as --lr_scheduler_min_lr_ratio=0.1.",
        )
    cycles = plan.options.lr_scheduler_num_cycles
    return lambda step: lowest + (1 - lowest) * _wave(cycles * plan.position(step))


def warmup_stable_decay(plan: Plan) -> Factor:
    """1 until the last d steps, then down to `--lr_scheduler_min_lr_ratio` (0); its warm-up starts from that ratio."""
    lowest = plan.options.lr_scheduler_min_lr_ratio or 0.0
    cycles = plan.options.lr_scheduler_num_cycles
    rise, fall = _curve(plan, "warmup_type", "linear"), _curve(plan, "decay_type", "cosine")
    rising = {
        "linear": lambda q: q,
        "cosine": lambda q: 1 - _wave(q),
        "1-sqrt": lambda q: 1 - math.sqrt(1 - q),
    }[rise]
    falling = {
        "linear": lambda q: 1 - q,
        "cosine": lambda q: _wave(cycles * q),
        "1-sqrt": lambda q: 1 - math.sqrt(q),
    }[fall]
    decay_from = plan.warmup + max(0, plan.total - plan.warmup - plan.decay)

    def factor(step: int) -> float:
        if step < plan.warmup:
            return lowest + (1 - lowest) * rising(step / plan.warmup)
        if step < decay_from:
            return 1.0
        if step < decay_from + plan.decay:
            return max(0.0, lowest + (1 - lowest) * falling((step - decay_from) / plan.decay))
        return lowest

    return factor


def piecewise_constant(plan: Plan) -> Factor:
    """`step_rules='1:10,0.1:20,0.05'`: 1 before step 10, 0.1 before step 20, then 0.05."""
    rules = plan.arguments.get("step_rules")
    try:
        *pieces, last = str(rules).split(",")
        limits = [(int(until), float(value)) for value, until in (piece.split(":") for piece in pieces)]
        final = float(last)
    except ValueError:
        raise UsageError(
            where=ARGUMENTS,
            what=f"piecewise_constant needs step_rules, and {rules!r} is none.",
            fix="Write \"step_rules='1:10,0.1:20,0.05'\": factor 1 before step 10, 0.1 before step 20, then 0.05.",
        ) from None
    return lambda step: next((value for until, value in sorted(limits) if step < until), final)


@dataclass(frozen=True)
class Shape:
    """A named schedule.

    Args:
        make: the factor after the warm-up.
        arguments: what `--lr_scheduler_args` may say.
        warms_up: whether a linear warm-up goes before it; not where the schedule has its own or takes none.
        takes_warmup: False when a warm-up is refused.
    """

    make: Callable[[Plan], Factor]
    arguments: tuple[str, ...] = ()
    warms_up: bool = True
    takes_warmup: bool = True


SHAPES = {
    "constant": Shape(constant, warms_up=False, takes_warmup=False),
    "constant_with_warmup": Shape(constant),
    "linear": Shape(linear),
    "cosine": Shape(cosine, ("num_cycles",)),
    "cosine_with_restarts": Shape(cosine_with_restarts),
    "polynomial": Shape(polynomial, ("lr_end",)),
    "inverse_sqrt": Shape(inverse_sqrt),
    "cosine_with_min_lr": Shape(cosine_with_min_lr),
    "warmup_stable_decay": Shape(warmup_stable_decay, ("decay_type", "warmup_type"), warms_up=False),
    "piecewise_constant": Shape(piecewise_constant, ("step_rules",)),
}


def make_factor(shape: Shape, plan: Plan) -> Factor:
    """The whole schedule, warm-up included."""
    after = shape.make(plan)
    if not (shape.warms_up and plan.warmup):
        return after
    return lambda step: step / plan.warmup if step < plan.warmup else after(step)


def _wave(half_waves: float) -> float:
    """A cosine that falls from 1 to 0 in one half wave."""
    return 0.5 * (1 + math.cos(math.pi * half_waves))


def _curve(plan: Plan, argument: str, default: str) -> str:
    curve = plan.arguments.get(argument, default)
    if curve not in CURVES:
        raise UsageError(
            where=ARGUMENTS, what=f"{argument}={curve!r} is not known.", fix=f"Write one of {', '.join(CURVES)}."
        )
    return str(curve)
