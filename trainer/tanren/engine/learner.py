"""The optimizer and its schedule over a network's parameter groups."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ..errors import Problems, UsageError, UserError
from ..events import Report
from ..networks.base import LearningRates, TrainedNetwork
from ..options.optimizer import OptimizerOptions, SchedulerOptions
from ..options.rates import text_encoder_rates
from ..options.spec import Settings
from .lr_schedules import make_scheduler, scheduler_class
from .optimizers import adapted_rates, chosen_class, make_optimizer, weights_for_use
from .rates import Rates


def check_learning(settings: Settings) -> None:
    """Refuse classes and arguments that only torch and the installed packages know, before a model is loaded.

    Raises:
        UserError: all that is wrong with them.
    """
    scheduler = settings[SchedulerOptions].lr_scheduler_type
    problems = Problems()
    for check in (lambda: chosen_class(settings[OptimizerOptions]), lambda: scheduler and scheduler_class(scheduler)):
        try:
            check()
        except UserError as problem:
            problems.add(problem)
    problems.raise_if_any()


class Learner:
    """How a network learns.

    Args:
        network: attached and placed.
        settings: optimizer, rates and schedule.
        total_steps: updates of the whole run.
        processes: how many train together.
        report: told what was chosen.

    Raises:
        UserError: names, arguments or packages; or nothing would learn.
    """

    def __init__(
        self, network: TrainedNetwork, settings: Settings, total_steps: int, processes: int, report: Report
    ) -> None:
        options = settings[OptimizerOptions]
        rates = LearningRates(options.learning_rate, options.unet_lr, text_encoder_rates(settings))
        groups = network.parameter_groups(rates)
        if not groups:
            raise UsageError(
                where="--learning_rate", what="Every learning rate is 0: nothing would learn.", fix="Set one above 0."
            )
        made = make_optimizer(groups, options, report)
        self.names = [group.name for group in groups]
        self.optimizer, self.text = made.optimizer, made.text
        self.scheduler = make_scheduler(
            made.optimizer,
            settings[SchedulerOptions],
            report,
            learning_rate=options.learning_rate,
            total_steps=total_steps,
            processes=processes,
        )
        for group in groups:
            count = sum(parameter.numel() for parameter in group.params)
            report.note(f"will be trained: {group.name}, {count:,} weights, learning rate {group.lr:g}")

    def rates(self) -> Rates:
        """The learning rates of the next update."""
        adapted = zip(self.names, adapted_rates(self.optimizer), strict=True)
        plain = dict(zip(self.names, self.scheduler.rates(), strict=True))
        return Rates(plain, {name: rate for name, rate in adapted if rate is not None})

    def pause(self) -> AbstractContextManager[None]:
        """Around anything that uses the weights: schedule-free optimizers put their averages in place."""
        return weights_for_use(self.optimizer)
