"""Samplers by the names that kohya's users know."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass, field
from typing import Any, Protocol

import diffusers
import torch
from torch import Tensor

from .linear_multistep import LinearMultistep
from .schedules import BETA_END, BETA_START, TRAIN_TIMESTEPS

DEFAULT = "ddim"


@dataclass(frozen=True)
class KnownSampler:
    """A class of diffusers with its arguments, and what AUTOMATIC1111 and Forge call it."""

    scheduler: str
    title: str
    arguments: dict[str, Any] = field(default_factory=dict)


MULTISTEP = "DPMSolverMultistepScheduler"
KNOWN = {
    "ddim": KnownSampler("DDIMScheduler", "DDIM"),
    "pndm": KnownSampler("PNDMScheduler", "PLMS"),
    "lms": KnownSampler("LinearMultistep", "LMS"),
    "euler": KnownSampler("EulerDiscreteScheduler", "Euler"),
    "euler_a": KnownSampler("EulerAncestralDiscreteScheduler", "Euler a"),
    "heun": KnownSampler("HeunDiscreteScheduler", "Heun"),
    "dpm_2": KnownSampler("KDPM2DiscreteScheduler", "DPM2"),
    "dpm_2_a": KnownSampler("KDPM2AncestralDiscreteScheduler", "DPM2 a"),
    # The older algorithm cannot end at a sigma of zero.
    "dpmsolver": KnownSampler(
        MULTISTEP, "DPM-Solver", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
    ),
    "dpmsolver++": KnownSampler(MULTISTEP, "DPM++ 2M", {"algorithm_type": "dpmsolver++"}),
    "dpmsingle": KnownSampler("DPMSolverSinglestepScheduler", "DPM++ 2S"),
    "dpm++_2m_karras": KnownSampler(
        MULTISTEP, "DPM++ 2M Karras", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}
    ),
}
KNOWN |= {f"k_{name}": KNOWN[name] for name in ("lms", "euler", "euler_a", "dpm_2", "dpm_2_a")}


class Sampler(Protocol):
    """What all of them have in common."""

    timesteps: Tensor
    init_noise_sigma: Any

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """Choose the timesteps."""

    def scale_model_input(self, sample: Tensor, timestep: Tensor) -> Tensor:
        """Latents as the model wants them."""

    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor) -> Any:
        """The next latents, as `prev_sample`; ancestral kinds take a `generator` too."""

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Latents of a picture as they are at a timestep, (1,)."""


def make_sampler(
    name: str,
    prediction_type: str,
    *,
    steps_offset: int = 0,
    begins_between: bool = False,
    zero_terminal_snr: bool = False,
) -> Sampler:
    """Build a sampler over the schedule of Stable Diffusion.

    Args:
        name: a key of `KNOWN`.
        prediction_type: "epsilon" or "v".
        steps_offset: added to all timesteps by samplers that have such an offset.
        begins_between: a picture is begun with, so that the first timesteps are left out.
        zero_terminal_snr: the schedule ends in pure noise, and sampling begins there; for names in
            `options.sampling.FROM_PURE_NOISE`.
    """
    known = KNOWN[name]
    if known.scheduler == "LinearMultistep":
        return LinearMultistep(prediction_type)
    kind = getattr(diffusers, known.scheduler)
    # Latents go far beyond -1..1: kohya's samples, which are cut there, look washed out.
    wished: dict[str, Any] = {"clip_sample": False, "steps_offset": steps_offset}
    if begins_between:
        # PNDM's first steps are of another kind, and have to be the first of all.
        wished["skip_prk_steps"] = True
    if zero_terminal_snr:
        wished |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    accepted = inspect.signature(kind.__init__).parameters
    arguments: dict[str, Any] = {
        "num_train_timesteps": TRAIN_TIMESTEPS,
        "beta_start": BETA_START,
        "beta_end": BETA_END,
        "beta_schedule": "scaled_linear",
        "prediction_type": "v_prediction" if prediction_type == "v" else "epsilon",
        **{key: value for key, value in wished.items() if key in accepted},
        **known.arguments,
    }
    with warnings.catch_warnings():
        # diffusers announces the end of "dpmsolver", which kohya's users may still name.
        warnings.simplefilter("ignore", FutureWarning)
        sampler: Sampler = kind(**arguments)
    return sampler


def takes_generator(sampler: Sampler) -> bool:
    """True for samplers that draw noise in their steps and can take it from a generator."""
    return "generator" in inspect.signature(sampler.step).parameters


def begin_late(sampler: Sampler, steps: int, strength: float) -> Tensor:
    """Timesteps of a sampler that begins with a picture: the last part of them, as large as the strength.

    Args:
        sampler: with its timesteps set.
        steps: they were set for.
        strength: 1 leaves nothing of the picture.
    """
    made = int(steps * strength)
    first = (steps - made) * getattr(sampler, "order", 1) if made else len(sampler.timesteps)
    begin: Any = getattr(sampler, "set_begin_index", None)
    if begin is not None:
        begin(first)
    return sampler.timesteps[first:]
