"""Settings that follow from others: set here, once, each with a line that says so."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from ..errors import Problems

Values = MutableMapping[str, Any]


def adjust(values: Values, problems: Problems) -> None:
    """Fill in what other settings imply, in place, before the groups are built; every change is a warning."""
    for rule in RULES:
        rule(values, problems)


def _disk_cache_means_cache(values: Values, problems: Problems) -> None:
    for name in ("cache_latents", "cache_text_encoder_outputs"):
        if values.get(f"{name}_to_disk") and not values.get(name):
            values[name] = True
            problems.warn(f"--{name}_to_disk: --{name} is switched on with it.")


def _old_spelling_of_caption_extension(values: Values, problems: Problems) -> None:
    misspelled = values.get("caption_extention")
    if misspelled and misspelled != values.get("caption_extension"):
        values["caption_extension"] = misspelled
        problems.warn(f"--caption_extention: {misspelled} is used as --caption_extension.")


def _no_samples_every_zero(values: Values, problems: Problems) -> None:
    for name in ("sample_every_n_steps", "sample_every_n_epochs"):
        every = values.get(name)
        if every is not None and every <= 0:
            values[name] = None
            problems.warn(f"--{name} {every}: switched off; it has to be 1 or more.")


def _concepts_are_learned_by_the_unet(values: Values, problems: Problems) -> None:
    """LECO needs no word about its network; a text encoder never learns."""
    if "prompts_file" not in values:
        return
    if values.get("network_module") is None:
        values["network_module"] = "networks.lora"
    values["network_train_unet_only"] = not values.get("network_train_text_encoder_only")


def _control_is_learned_by_the_unet(values: Values, problems: Problems) -> None:
    """LLLite has no part in the text encoders, whose outputs may be cached without a word."""
    if "cond_emb_dim" in values:
        values["network_train_unet_only"] = not values.get("network_train_text_encoder_only")


RULES: tuple[Callable[[Values, Problems], None], ...] = (
    _disk_cache_means_cache,
    _old_spelling_of_caption_extension,
    _no_samples_every_zero,
    _concepts_are_learned_by_the_unet,
    _control_is_learned_by_the_unet,
)
