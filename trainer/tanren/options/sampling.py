"""Pictures drawn while training goes on."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import option

SAMPLERS = (
    "ddim",
    "pndm",
    "lms",
    "euler",
    "euler_a",
    "heun",
    "dpm_2",
    "dpm_2_a",
    "dpmsolver",
    "dpmsolver++",
    "dpmsingle",
    "dpm++_2m_karras",
    "k_lms",
    "k_euler",
    "k_euler_a",
    "k_dpm_2",
    "k_dpm_2_a",
)
# Those that can begin where nothing but noise is left.
FROM_PURE_NOISE = ("ddim", "euler", "euler_a", "k_euler", "k_euler_a", "dpmsolver++", "dpm++_2m_karras")


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Pictures drawn while training goes on."""

    sample_every_n_steps: int | None = option(
        None, "Draw after every N steps.", label="Sample every N steps", level="basic"
    )
    sample_every_n_epochs: int | None = option(
        None, "Draw after every N epochs; wins.", label="Sample every N epochs", level="basic"
    )
    sample_at_first: bool = option(False, "Draw before the first step too.", label="Sample before training")
    sample_prompts: str | None = option(
        None, "Prompt file (.txt, .toml, .json).", label="Sample prompts", level="basic", path="file"
    )
    sample_sampler: str = option(
        "ddim",
        "Sampler of the pictures.",
        label="Sampler of sample pictures",
        choices=SAMPLERS,
    )
