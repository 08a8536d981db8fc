"""An update whose weights change while the gradients are still being computed (`--fused_backward_pass`).

As soon as the gradient of a weight is complete it is clipped, the optimizer steps this weight alone, and the gradient
is dropped: at no time is there more than one. What needs all gradients at once is therefore decided weight by weight:
a gradient that is not finite skips its own weight, and `--max_grad_norm` is the limit of each weight's gradient, as in
sd-scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..options.optimizer import OptimizerOptions
from ..options.spec import Settings
from .processes import Processes
from .step import Inputs, StepTensors, TrainingStep


def check_fused(settings: Settings, processes: Processes) -> None:
    """Refuse what only the start of the processes shows.

    Raises:
        UsageError: several processes train together.
    """
    if settings[OptimizerOptions].fused_backward_pass and processes.count > 1:
        raise UsageError(
            where="--fused_backward_pass",
            what=f"It works in one process, and {processes.count} train together.",
            why="Their gradients are averaged when all are computed, and this option keeps none of them.",
            fix="Leave it out, or train with one process.",
        )


class FusedStep(TrainingStep):
    """A `TrainingStep` that never holds more than one gradient; one micro-batch, one process, no loss scaling."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._norms: list[Tensor] = []
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.register_post_accumulate_grad_hook(partial(self._update_one, group))

    def __call__(self, group: Sequence[Inputs], step: int) -> StepTensors:
        """Update the network from the one micro-batch of `group`; `step` is the number of updates before this one."""
        self.network.on_step_start()
        self._norms = []
        loss, nan_latents = self._accumulate(group, step)
        norm = torch.stack(self._norms).norm() if self._norms else torch.zeros_like(loss)
        finite = torch.isfinite(norm) & torch.isfinite(loss)
        self.scheduler.step()
        limit = self.scale_weight_norms
        max_norm = self.network.apply_max_norm(limit) if limit else None
        return StepTensors(loss, norm, finite, torch.zeros_like(finite), nan_latents, max_norm)

    def _backward(self, loss: Tensor) -> None:
        if bool(torch.isfinite(loss)):
            loss.backward()

    def _update_one(self, group: dict[str, Any], parameter: nn.Parameter) -> None:
        """Step the optimizer for one weight whose gradient is complete, and drop the gradient."""
        assert parameter.grad is not None
        norm = torch.nn.utils.get_total_norm([parameter.grad])
        self._norms.append(norm.float())
        if bool(torch.isfinite(norm)):
            if self.max_grad_norm:
                torch.nn.utils.clip_grads_with_norm_([parameter], self.max_grad_norm, norm)
            self._step_alone(group, parameter)
        parameter.grad = None

    def _step_alone(self, group: dict[str, Any], parameter: nn.Parameter) -> None:
        # The optimizer steps what its groups list; looking through all weights once per weight would take long.
        groups, members = self.optimizer.param_groups, group["params"]
        self.optimizer.param_groups, group["params"] = [group], [parameter]
        try:
            self.optimizer.step()
        finally:
            self.optimizer.param_groups, group["params"] = groups, members
