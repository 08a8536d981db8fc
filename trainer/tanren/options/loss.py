"""The noise that is added and how the loss is measured and weighed."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Conflicts, Requires, option


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """Noise, timesteps, loss and its weights."""

    min_timestep: int | None = option(
        None, "Lowest timestep trained (0 when not given).", label="Lowest timestep", minimum=0, maximum=999
    )
    max_timestep: int | None = option(
        None, "Timesteps stay below this (1000 when not given).", label="Highest timestep", minimum=1, maximum=1000
    )
    noise_offset: float | None = option(
        None,
        "Shift of the noise per channel, for darker and brighter pictures; about 0.1.",
        label="Noise offset",
        saved_as="ss_noise_offset",
    )
    noise_offset_random_strength: bool = option(
        False,
        "Draw the offset between 0 and --noise_offset.",
        label="Random noise offset",
        saved_as="ss_noise_offset_random_strength",
    )
    adaptive_noise_scale: float | None = option(
        None,
        "Add this times the mean of the latents to the offset.",
        label="Adaptive noise scale",
        level="expert",
        saved_as="ss_adaptive_noise_scale",
    )
    multires_noise_iterations: int | None = option(
        None,
        "Add noise at this many coarser sizes; 6 to 10.",
        label="Multires noise: sizes",
        minimum=0,
        saved_as="ss_multires_noise_iterations",
    )
    multires_noise_discount: float = option(
        0.3,
        "Each coarser size counts this much less.",
        label="Multires noise: discount",
        minimum=0,
        maximum=1,
        saved_as="ss_multires_noise_discount",
    )
    ip_noise_gamma: float | None = option(
        None,
        "Disturb the noisy input by this much; about 0.1.",
        label="Input perturbation",
        minimum=0,
        saved_as="ss_ip_noise_gamma",
    )
    ip_noise_gamma_random_strength: bool = option(
        False,
        "Draw it between 0 and --ip_noise_gamma.",
        label="Random input perturbation",
        saved_as="ss_ip_noise_gamma_random_strength",
    )
    min_snr_gamma: float | None = option(
        None,
        "Cap the weight of timesteps with little noise (min-SNR); 5 is usual.",
        label="Min-SNR gamma",
        minimum=0,
        saved_as="ss_min_snr_gamma",
    )
    scale_v_pred_loss_like_noise_pred: bool = option(
        False,
        "Weigh the velocity loss as if noise were predicted.",
        label="Velocity loss like noise loss",
        level="expert",
    )
    v_pred_like_loss: float | None = option(
        None,
        "Add this much of a velocity-like loss to the noise loss.",
        label="Velocity-like loss",
        minimum=0,
        level="expert",
    )
    debiased_estimation_loss: bool = option(
        False,
        "Weigh timesteps by debiased estimation.",
        label="Debiased estimation",
        level="expert",
        saved_as="ss_debiased_estimation",
    )
    loss_type: str = option(
        "l2",
        "How prediction and target are compared.",
        label="Loss function",
        choices=("l1", "l2", "huber", "smooth_l1"),
        saved_as="ss_loss_type",
    )
    huber_schedule: str = option(
        "snr",
        "How the Huber threshold depends on the timestep.",
        label="Huber schedule",
        choices=("constant", "exponential", "snr"),
        level="expert",
        saved_as="ss_huber_schedule",
    )
    huber_c: float = option(
        0.1, "Huber threshold.", label="Huber threshold", minimum=0, level="expert", saved_as="ss_huber_c"
    )
    huber_scale: float = option(
        1.0,
        "Factor of the Huber threshold.",
        label="Huber factor",
        minimum=0,
        level="expert",
        saved_as="ss_huber_scale",
    )

    rules = (
        Requires("adaptive_noise_scale", "noise_offset", because="it is added to that offset"),
        Requires("noise_offset_random_strength", "noise_offset", because="it varies that offset", warns=True),
        Requires("ip_noise_gamma_random_strength", "ip_noise_gamma", because="it varies that strength", warns=True),
        Requires(
            "scale_v_pred_loss_like_noise_pred", "v_parameterization", because="only a velocity loss can be rescaled"
        ),
        Conflicts("v_pred_like_loss", "v_parameterization", because="the model predicts velocity already"),
    )
