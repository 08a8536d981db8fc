"""Steps of the stochastic process that noise is taken away by, as DDPM was trained to undo it.

Source: Ho et al. 2020, arXiv:2006.11239, equations 6 and 7; steps over several timesteps at once as Nichol and Dhariwal
2021, arXiv:2102.09672, section 4.
"""

from __future__ import annotations

from torch import Tensor

from .schedules import TRAIN_TIMESTEPS, NoiseSchedule


def spaced_timesteps(steps: int) -> list[int]:
    """The timesteps that `steps` equal steps begin at, from noise to clean: 20 give 950, 900, … 0.

    Args:
        steps: 1 to 1000.
    """
    stride = TRAIN_TIMESTEPS // steps
    return [place * stride for place in reversed(range(steps))]


def ancestral_step(
    schedule: NoiseSchedule,
    noisy_latents: Tensor,
    prediction: Tensor,
    noise: Tensor,
    timestep: int,
    before: int,
    prediction_type: str,
) -> Tensor:
    """One step down, from `timestep` to the less noisy timestep `before`.

    Args:
        noisy_latents, prediction, noise: (B, C, h, w), float32.
        before: negative for clean latents, to which no noise is added.
        prediction_type: "epsilon" or "v".
    """
    signal, spread = schedule.signal[timestep], schedule.spread[timestep]
    if prediction_type == "v":
        clean = signal * noisy_latents - spread * prediction
    else:
        clean = (noisy_latents - spread * prediction) / signal
    if before < 0:
        return clean
    signal_before, spread_before = schedule.signal[before], schedule.spread[before]
    kept = signal / signal_before  # √α of this step
    added = 1 - kept**2  # β of this step
    mean = (signal_before * added * clean + kept * spread_before**2 * noisy_latents) / spread**2
    return mean + (spread_before / spread) * added.sqrt() * noise
