"""The learning rate of every part of a model, whichever options say it."""

from __future__ import annotations

from .optimizer import OptimizerOptions
from .sdxl import SdxlOptions
from .spec import Settings


def text_encoder_rates(settings: Settings) -> tuple[float, ...]:
    """What the options say about the text encoders' rates, in their order.

    Empty when none of them was set; the last rate then serves the encoders behind it, as in `--text_encoder_lr`.
    """
    options = settings[OptimizerOptions]
    common = options.text_encoder_lr
    if SdxlOptions not in settings:
        return common
    each = settings[SdxlOptions]
    own = (each.text_encoder_lr1, each.text_encoder_lr2)
    if own == (None, None):
        return common
    padded = common if len(common) > 1 else (common or (options.learning_rate,)) * len(own)
    return tuple(padded[index] if rate is None else rate for index, rate in enumerate(own))


def leaves_text_encoders_out(settings: Settings) -> bool:
    """True when the rate of every text encoder is exactly 0."""
    return not any(text_encoder_rates(settings) or (settings[OptimizerOptions].learning_rate,))
