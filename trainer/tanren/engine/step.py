"""One optimizer update: forward and backward of each micro-batch, reduce, check, clip, step.

Nothing here waits for the device: losses and norms stay tensors, and a step whose loss or gradient is not finite is
skipped on the device where the optimizer can do that (fused Adam kinds), else after one look at a single flag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..data.draws import draw_seed
from ..networks.base import MaxNorm, TrainedNetwork
from ..options.distributed import ORDINARY, DistributedOptions
from .gradients import SharedGradients
from .lr_schedules import RateSchedule
from .precision import Precision
from .processes import Processes


class Inputs(Protocol):
    """What an objective needs for one micro-batch, made on the CPU."""

    def to(self, device: torch.device) -> Any:
        """The same on the device, without waiting."""


class Objective(Protocol):
    """Turns one micro-batch into a loss."""

    def loss(self, inputs: Any) -> Any:
        """A result with `.loss`, a scalar tensor on the device."""


@dataclass(frozen=True)
class StepTensors:
    """What one update left behind, still on the device.

    Args:
        loss: mean over the micro-batches and processes.
        grad_norm: L2 norm of the whole gradient before clipping.
        finite: False when the update was skipped.
        overflow: True when it was skipped because the loss scale was too large for float16, which then becomes smaller.
        nan_latents: numbers of the VAE that were NaN and counted as 0.
        max_norm: outcome of `--scale_weight_norms`.
    """

    loss: Tensor
    grad_norm: Tensor
    finite: Tensor
    overflow: Tensor
    nan_latents: Tensor
    max_norm: MaxNorm | None


class TrainingStep:
    """Everything that happens between two values of the step counter."""

    def __init__(
        self,
        objective: Objective,
        network: TrainedNetwork,
        optimizer: torch.optim.Optimizer,
        scheduler: RateSchedule,
        scaler: torch.amp.GradScaler,
        precision: Precision,
        processes: Processes,
        *,
        seed: int,
        max_grad_norm: float,
        scale_weight_norms: float | None,
        distributed: DistributedOptions = ORDINARY,
    ) -> None:
        self.objective, self.network, self.optimizer, self.scheduler = objective, network, optimizer, scheduler
        self.precision, self.processes = precision, processes
        self.seed, self.max_grad_norm, self.scale_weight_norms = seed, max_grad_norm, scale_weight_norms
        self.parameters = list(network.trainable())
        self.gradients = SharedGradients(
            self.parameters,
            processes,
            as_views=distributed.ddp_gradient_as_bucket_view,
            is_static=distributed.ddp_static_graph,
        )
        self.scaler = scaler
        self.skips_on_device = precision.device.type == "cuda" and _takes_found_inf(optimizer)

    def __call__(self, group: Sequence[Inputs], step: int) -> StepTensors:
        """Update the network from the micro-batches of `group`; `step` is the number of updates before this one."""
        self.network.on_step_start()
        loss, nan_latents = self._accumulate(group, step)
        self.gradients.average(loss)
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        finite = torch.isfinite(norm) & torch.isfinite(loss)
        overflow = ~finite & torch.isfinite(loss) & self._has_room_below()
        if self.max_grad_norm:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.max_grad_norm, norm)
        self._update(finite)
        self.scheduler.step()
        self.gradients.clear()
        limit = self.scale_weight_norms
        max_norm = self.network.apply_max_norm(limit) if limit else None
        return StepTensors(loss, norm, finite, overflow, nan_latents, max_norm)

    def _accumulate(self, group: Sequence[Inputs], step: int) -> tuple[Tensor, Tensor]:
        total, nan_latents = torch.zeros(2, device=self.precision.device)
        for micro, inputs in enumerate(group):
            # Dropout draws from the global stream; seeding it here makes a resumed run draw the same.
            torch.manual_seed(draw_seed(self.seed, "dropout", step, micro, self.processes.index))
            with self.precision.autocast(self.network.needs_autocast):
                result = self.objective.loss(inputs.to(self.precision.device))
                loss = result.loss / len(group)
            self._backward(loss)
            total += loss.detach()
            if result.nan_latents is not None:
                nan_latents += result.nan_latents
        return total, nan_latents

    def _backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss).backward()

    def _has_room_below(self) -> Tensor:
        """Whether the loss scale of this step is still at least 1; never without scaling."""
        one = torch.ones((), device=self.precision.device)
        return self.scaler.scale(one) >= 1 if self.scaler.is_enabled() else one < 1

    def _update(self, finite: Tensor) -> None:
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self.skips_on_device:
            self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif bool(finite):
            self.optimizer.step()


def _takes_found_inf(optimizer: torch.optim.Optimizer) -> bool:
    return bool(getattr(optimizer, "_step_supports_amp_scaling", False))
