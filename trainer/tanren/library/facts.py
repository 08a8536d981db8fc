"""The training facts of a file, grouped, under the names people know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .values import is_said, moment_of

# Group -> (key, what people call it). The first group is what most people ask about.
GROUPS: dict[str, tuple[tuple[str, str], ...]] = {
    "Training": (
        ("ss_sd_model_name", "Base model"),
        ("ss_base_model_version", "Base model version"),
        ("ss_network_module", "Network module"),
        ("ss_network_dim", "Network rank (dim)"),
        ("ss_network_alpha", "Network alpha"),
        ("ss_network_args", "Network arguments"),
        ("ss_optimizer", "Optimizer"),
        ("ss_learning_rate", "Learning rate"),
        ("ss_unet_lr", "Learning rate U-Net"),
        ("ss_text_encoder_lr", "Learning rate text encoder"),
        ("ss_lr_scheduler", "Scheduler"),
        ("ss_lr_warmup_steps", "Warm-up steps"),
        ("ss_steps", "Steps of this file"),
        ("ss_max_train_steps", "Steps planned"),
        ("ss_epoch", "Epoch of this file"),
        ("ss_num_epochs", "Epochs planned"),
        ("ss_total_batch_size", "Batch size (total)"),
        ("ss_batch_size_per_device", "Batch size"),
        ("ss_gradient_accumulation_steps", "Gradient accumulation"),
        ("ss_resolution", "Resolution"),
        ("ss_clip_skip", "Clip skip"),
        ("ss_seed", "Seed"),
        ("ss_training_started_at", "Started"),
        ("ss_training_finished_at", "Finished"),
        ("ss_training_comment", "Comment"),
    ),
    "Data set": (
        ("ss_num_train_images", "Training pictures (with repeats)"),
        ("ss_num_reg_images", "Regularization pictures"),
        ("ss_num_validation_images", "Validation pictures"),
        ("ss_num_batches_per_epoch", "Batches per epoch"),
        ("ss_enable_bucket", "Buckets"),
        ("ss_min_bucket_reso", "Smallest bucket side"),
        ("ss_max_bucket_reso", "Largest bucket side"),
        ("ss_bucket_no_upscale", "Buckets never enlarge"),
        ("ss_shuffle_caption", "Shuffle tags"),
        ("ss_keep_tokens", "Tags kept in front"),
        ("ss_caption_dropout_rate", "Caption dropout"),
        ("ss_caption_tag_dropout_rate", "Tag dropout"),
        ("ss_flip_aug", "Mirror pictures"),
        ("ss_color_aug", "Vary colours"),
        ("ss_random_crop", "Random crop"),
        ("ss_max_token_length", "Token length"),
        ("ss_cache_latents", "Cache latents"),
    ),
    "Noise and loss": (
        ("ss_noise_offset", "Noise offset"),
        ("ss_adaptive_noise_scale", "Adaptive noise scale"),
        ("ss_multires_noise_iterations", "Multires noise iterations"),
        ("ss_multires_noise_discount", "Multires noise discount"),
        ("ss_ip_noise_gamma", "Input perturbation"),
        ("ss_zero_terminal_snr", "Zero terminal SNR"),
        ("ss_min_snr_gamma", "Min SNR gamma"),
        ("ss_debiased_estimation", "Debiased estimation"),
        ("ss_loss_type", "Loss"),
        ("ss_huber_c", "Huber c"),
        ("ss_huber_schedule", "Huber schedule"),
        ("ss_prior_loss_weight", "Prior loss weight"),
        ("ss_scale_weight_norms", "Scale weight norms"),
        ("ss_max_grad_norm", "Gradient clipping"),
        ("ss_network_dropout", "Network dropout"),
        ("ss_timestep_sampling", "Timestep sampling"),
        ("ss_discrete_flow_shift", "Flow shift"),
        ("ss_guidance_scale", "Guidance"),
    ),
    "Machine": (
        ("ss_mixed_precision", "Mixed precision"),
        ("ss_full_fp16", "Full fp16"),
        ("ss_full_bf16", "Full bf16"),
        ("ss_fp8_base", "Base in fp8"),
        ("ss_gradient_checkpointing", "Gradient checkpointing"),
        ("ss_lowram", "Low RAM"),
        ("ss_sd_scripts_commit_hash", "sd-scripts version"),
        ("ss_session_id", "Session"),
        ("ss_sd_model_hash", "Base model hash (old)"),
        ("ss_new_sd_model_hash", "Base model hash (SHA-256)"),
        ("ss_vae_name", "VAE"),
        ("ss_vae_hash", "VAE hash (old)"),
        ("ss_new_vae_hash", "VAE hash (SHA-256)"),
        ("ss_v2", "Stable Diffusion 2"),
    ),
    "About": (
        ("ss_output_name", "Name"),
        ("modelspec.title", "Title"),
        ("modelspec.author", "Author"),
        ("modelspec.description", "Description"),
        ("modelspec.license", "Licence"),
        ("modelspec.tags", "Tags"),
        ("modelspec.trigger_phrase", "Trigger phrase"),
        ("modelspec.usage_hint", "Usage hint"),
        ("modelspec.date", "Date"),
        ("modelspec.architecture", "Architecture"),
        ("modelspec.resolution", "Resolution"),
        ("modelspec.prediction_type", "Prediction"),
        ("modelspec.merged_from", "Merged from"),
        ("ssmd_display_name", "Display name"),
        ("ssmd_author", "Author (Additional Networks)"),
        ("ssmd_description", "Description (Additional Networks)"),
        ("ssmd_keywords", "Keywords"),
        ("ssmd_tags", "Tags (Additional Networks)"),
        ("ssmd_rating", "Rating"),
        ("ssmd_source", "Source"),
        ("sshs_model_hash", "Tensor hash (AutoV3)"),
        ("sshs_legacy_hash", "Tensor hash (old)"),
    ),
}
# Shown as tables or pictures elsewhere.
ELSEWHERE = frozenset(
    (
        *("ss_tag_frequency", "ss_dataset_dirs", "ss_reg_dataset_dirs", "ss_bucket_info", "ss_datasets"),
        *("modelspec.thumbnail", "ssmd_cover_images"),
    )
)
TIMES = ("ss_training_started_at", "ss_training_finished_at")
REST = "Further"
TITLES = {key: title for rows in GROUPS.values() for key, title in rows}
RATING = range(11)


@dataclass(frozen=True)
class Fact:
    """One value for people.

    Args:
        key: as in the file.
        title: what people call it; the key itself where they have no other word.
        text: the value; "unreadable: …" where it is not what belongs there.
        raw: as in the file.
    """

    key: str
    title: str
    text: str
    raw: str


def grouped_facts(metadata: Mapping[str, str]) -> dict[str, tuple[Fact, ...]]:
    """Facts per group; what was not set is left out, keys that are not known come last under "Further"."""
    found: dict[str, tuple[Fact, ...]] = {}
    for group, rows in GROUPS.items():
        facts = [fact_of(key, metadata[key]) for key, _ in rows if is_said(metadata.get(key))]
        if facts:
            found[group] = tuple(facts)
    rest = [key for key in sorted(metadata) if key not in TITLES and key not in ELSEWHERE and is_said(metadata[key])]
    if rest:
        found[REST] = tuple(fact_of(key, metadata[key]) for key in rest)
    return found


def fact_of(key: str, raw: str) -> Fact:
    """One value as people read it."""
    text = raw
    if key in TIMES:
        text = moment_of(raw) or f"unreadable: {raw}"
    elif key == "ssmd_rating" and not (raw.strip().isdecimal() and len(raw) < 4 and int(raw) in RATING):
        text = f"unreadable: {raw}"
    elif raw in ("True", "False"):
        text = "yes" if raw == "True" else "no"
    return Fact(key, TITLES.get(key, key), text, raw)
