"""What a run will do, as plain facts: the same ones for a person to read and for a program."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from .checkpoint.names import planned_files
from .data.records import ScannedDataset
from .networks.lora_size import LoraSize
from .options.lllite import LlliteOptions
from .options.model import ModelOptions
from .options.network import NetworkOptions
from .options.optimizer import OptimizerOptions, SchedulerOptions
from .options.rates import leaves_text_encoders_out, text_encoder_rates
from .options.saving import SavingOptions
from .options.training import TrainingOptions
from .preflight import Preflight
from .room import room_of, size_of

Facts = dict[str, Any]


def facts_of(found: Preflight) -> Facts:
    """Everything the plan says, as text and numbers."""
    size = size_of(found)
    return {
        "data": [_dataset_facts(dataset) for dataset in found.scan.datasets],
        "pairs": found.scan.pair_facts,
        "notes": found.scan.all_notes,
        "length": asdict(found.counts) if found.counts else None,
        "training": _training_facts(found, size),
        "files": _file_facts(found),
        "disk": asdict(room_of(found, size)),
    }


def _dataset_facts(dataset: ScannedDataset) -> Facts:
    plan = dataset.plan
    sources = Counter(image.caption_source for image in (*dataset.images, *dataset.validation))
    return {
        "resolution": list(plan.resolution_wh),
        "batch_size": plan.batch_size,
        "enable_bucket": plan.enable_bucket,
        "subsets": [
            {"folder": subset.image_dir or subset.metadata_file, "images": count, "repeats": subset.num_repeats}
            | {
                "is_reg": subset.is_reg,
                "class_tokens": subset.class_tokens,
                "paired_with": subset.conditioning_data_dir,
            }
            for subset, count in zip(plan.subsets, dataset.subset_images, strict=False)
        ],
        "train_images": dataset.num_train_images,
        "reg_images": dataset.num_reg_images,
        "validation_images": dataset.num_validation_images,
        "captions": {
            "by_source": dict(sources),
            "found_by_extension": dict(dataset.captions.by_extension),
            "missing": list(dataset.captions.missing),
        },
        "buckets": {f"{width}x{height}": count for (width, height), count in dataset.bucket_counts().items()},
        "batches_per_epoch": dataset.batches_per_epoch(),
    }


def _training_facts(found: Preflight, size: LoraSize | None) -> Facts:
    settings = found.settings
    network, rates = settings[NetworkOptions], settings[OptimizerOptions]
    schedule, training = settings[SchedulerOptions], settings[TrainingOptions]
    unet = not network.network_train_text_encoder_only and not rates.leaves_unet_out
    text = not network.network_train_unet_only and not leaves_text_encoders_out(settings)
    text_rates = text_encoder_rates(settings) or (rates.learning_rate,)
    return {
        "base_model": settings[ModelOptions].pretrained_model_name_or_path,
        "base_model_is": found.base.sentence if found.base else None,
        "network_module": network.network_module,
        "rank": found.lora.rank if found.lora else network.network_dim,
        "alpha": network.network_alpha,
        "cond_emb_dim": network.cond_emb_dim if isinstance(network, LlliteOptions) else None,
        "unet": unet,
        "unet_lr": rates.learning_rate if rates.unet_lr is None else rates.unet_lr,
        "text_encoder": text,
        "text_encoder_lr": text_rates[0],
        "text_encoder_lrs": list(text_rates),
        "unet_layers": size.unet_layers if size else None,
        "text_encoder_layers": size.text_layers if size else None,
        "numbers": size.numbers if size else None,
        "optimizer": rates.chosen,
        "lr_scheduler": schedule.lr_scheduler_type or schedule.lr_scheduler,
        "lr_warmup_steps": schedule.lr_warmup_steps,
        "mixed_precision": training.mixed_precision,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
    }


def _file_facts(found: Preflight) -> list[Facts]:
    if found.counts is None:
        return []
    files = planned_files(found.settings[SavingOptions], found.counts.max_train_steps, found.counts.steps_per_epoch)
    return [asdict(file) for file in files]
