"""What is computed once and kept."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import option


@dataclass(frozen=True, kw_only=True)
class CachingOptions:
    """Latents and text states that are computed once."""

    cache_latents: bool = option(
        False,
        "Encode every picture once and keep the result in memory.",
        label="Cache latents",
        level="basic",
        saved_as="ss_cache_latents",
    )
    cache_latents_to_disk: bool = option(
        False, "Keep the encoded pictures on disk too, for the next run.", label="Cache latents on disk"
    )
    vae_batch_size: int = option(1, "Pictures encoded at a time.", label="Caching batch size", minimum=1)
    skip_cache_check: bool = option(
        False,
        "Take what is cached under a picture's name without looking whether the picture or the cache changed; quicker "
        "with many pictures or slow disks, but edits of pictures go unnoticed.",
        label="Trust the cache",
        level="expert",
    )
    cache_text_encoder_outputs: bool = option(
        False,
        "Encode every caption once; needs --network_train_unet_only and captions that do not vary.",
        label="Cache captions",
    )
    cache_text_encoder_outputs_to_disk: bool = option(
        False, "Keep the encoded captions on disk too, for the next run.", label="Cache captions on disk"
    )
