"""How prediction and target are compared, and how much each timestep counts.

Everything that depends on the timestep alone is a table of 1000 numbers made before training, so that a step only looks
it up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..options.loss import LossOptions
from .schedules import TRAIN_TIMESTEPS, NoiseSchedule

SNR_LIMIT = 1000.0


def compare(prediction: Tensor, target: Tensor, loss_type: str, huber_c: Tensor) -> Tensor:
    """Element-wise loss in float32.

    Args:
        prediction, target: (B, C, h, w).
        loss_type: "l2", "l1", "huber" or "smooth_l1".
        huber_c: (B,), the difference at which the Huber kinds turn from square to straight.
    """
    difference = prediction.float() - target.float()
    if loss_type == "l2":
        return difference.square()
    if loss_type == "l1":
        return difference.abs()
    c = huber_c.view(-1, *[1] * (difference.ndim - 1))
    bent = 2 * ((difference.square() + c.square()).sqrt() - c)
    return c * bent if loss_type == "huber" else bent


def huber_table(options: LossOptions, schedule: NoiseSchedule) -> Tensor:
    """(1000,) float32: the Huber threshold of each timestep.

    `--huber_scale` does not act on the "snr" schedule, as in sd-scripts.
    """
    h, scale = options.huber_c, options.huber_scale
    if options.huber_schedule == "constant":
        return torch.full((TRAIN_TIMESTEPS,), h * scale)
    if options.huber_schedule == "exponential":
        timesteps = torch.arange(TRAIN_TIMESTEPS, dtype=torch.float64)
        return (scale * h ** (timesteps / TRAIN_TIMESTEPS)).float()
    sigma = schedule.spread.double() / schedule.signal.double()
    return ((1 - h) / (1 + sigma) ** 2 + h).float()


def weight_table(options: LossOptions, schedule: NoiseSchedule, prediction_type: str) -> Tensor:
    """(1000,) float32: the product of all factors that the loss of a timestep is multiplied by.

    Args:
        options: min_snr_gamma, scale_v_pred_loss_like_noise_pred, v_pred_like_loss, debiased_estimation_loss.
        schedule: its `snr`.
        prediction_type: "epsilon" or "v".

    Source: Hang et al. 2023, arXiv:2303.09556 (min-SNR); Yu et al. 2023, arXiv:2310.08442 (debiased estimation).
    """
    snr = schedule.snr.double()
    limited = snr.clamp(max=SNR_LIMIT)
    predicts_v = prediction_type == "v"
    weights = torch.ones_like(snr)
    if options.min_snr_gamma:
        weights *= snr.clamp(max=options.min_snr_gamma) / (snr + 1 if predicts_v else snr)
    if options.scale_v_pred_loss_like_noise_pred:
        weights *= velocity_scale(limited)
    if options.v_pred_like_loss:
        weights *= 1 + options.v_pred_like_loss / velocity_scale(limited)
    if options.debiased_estimation_loss:
        weights *= 1 / (limited + 1) if predicts_v else limited.rsqrt()
    return weights.float()


def velocity_scale(snr: Tensor) -> Tensor:
    """SNR / (SNR + 1): a velocity loss times this weighs timesteps as a noise loss does."""
    return snr / (snr + 1)
