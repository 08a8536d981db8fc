"""What is special about the options of SDXL."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Refuses, option


@dataclass(frozen=True, kw_only=True)
class SdxlOptions:
    """The two text encoders of SDXL."""

    text_encoder_lr1: float | None = option(
        None,
        "Learning rate of text encoder 1 (CLIP-L, lora_te1); 0 leaves it out. Not given: --text_encoder_lr.",
        label="Learning rate, CLIP-L",
        minimum=0,
    )
    text_encoder_lr2: float | None = option(
        None,
        "Learning rate of text encoder 2 (OpenCLIP bigG, lora_te2); 0 leaves it out. Not given: --text_encoder_lr.",
        label="Learning rate, OpenCLIP bigG",
        minimum=0,
    )

    rules = (
        Refuses("v2", because="it is for Stable Diffusion 2, and this command trains SDXL"),
        Refuses("clip_skip", because="SDXL always takes the layer before the last", warns=True),
    )
