"""What a run will do, as plain facts: the same ones for a person to read and for a program."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .checkpoint.names import most_at_once, planned_files
from .data.records import ScannedDataset
from .disk import free_bytes
from .formats.base_model import is_safetensors
from .formats.safetensors_header import read_header
from .networks.lora_size import LoraSize, lora_size
from .options.caching import CachingOptions
from .options.job import JobOptions
from .options.model import ModelOptions
from .options.network import NetworkOptions
from .options.optimizer import OptimizerOptions, SchedulerOptions
from .options.saving import SavingOptions
from .options.training import TrainingOptions
from .paths import data_folder
from .preflight import Preflight

Facts = dict[str, Any]
LATENT_CELL, LATENT_CHANNELS, FLOAT_BYTES = 8, 4, 4
FILE_BYTES = {"float": 4, "fp16": 2, "bf16": 2}
OPTIMIZER_BYTES = {"8bit": 2, "lion": 4, "sgd": 4}
FILES_OF_FOLDER = (
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder/model.fp16.safetensors",
)


def facts_of(found: Preflight) -> Facts:
    """Everything the plan says, as text and numbers."""
    size = _size(found)
    return {
        "data": [_dataset_facts(dataset) for dataset in found.scan.datasets],
        "notes": found.scan.notes,
        "length": asdict(found.counts) if found.counts else None,
        "training": _training_facts(found, size),
        "files": _file_facts(found),
        "disk": _disk_facts(found, size),
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
            | {"is_reg": subset.is_reg, "class_tokens": subset.class_tokens}
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
    unet = not network.network_train_text_encoder_only and rates.unet_lr != 0
    text = not network.network_train_unet_only and (not rates.text_encoder_lr or rates.text_encoder_lr[0] != 0)
    return {
        "base_model": settings[ModelOptions].pretrained_model_name_or_path,
        "base_model_is": found.base.sentence if found.base else None,
        "network_module": network.network_module,
        "rank": found.lora.rank if found.lora else network.network_dim,
        "alpha": network.network_alpha,
        "unet": unet,
        "unet_lr": rates.learning_rate if rates.unet_lr is None else rates.unet_lr,
        "text_encoder": text,
        "text_encoder_lr": rates.text_encoder_lr[0] if rates.text_encoder_lr else rates.learning_rate,
        "unet_layers": size.unet_layers if size else None,
        "text_encoder_layers": size.text_layers if size else None,
        "numbers": size.numbers if size else None,
        "optimizer": rates.chosen,
        "lr_scheduler": schedule.lr_scheduler_type or schedule.lr_scheduler,
        "lr_warmup_steps": schedule.lr_warmup_steps,
        "mixed_precision": training.mixed_precision,
        "gradient_accumulation_steps": training.gradient_accumulation_steps,
    }


def _size(found: Preflight) -> LoraSize | None:
    """Layers and numbers of our own LoRA; None where only loading the model or another package can tell."""
    name = found.settings[ModelOptions].pretrained_model_name_or_path
    if found.lora is None or found.base is None or name is None:
        return None
    path = Path(name).expanduser()
    paths = [path] if path.is_file() else [path / part for part in FILES_OF_FOLDER if (path / part).is_file()]
    shapes = {
        key: entry.shape for one in paths if is_safetensors(one) for key, entry in read_header(one).tensors.items()
    }
    network, rates = found.settings[NetworkOptions], found.settings[OptimizerOptions]
    text_rates = rates.text_encoder_lr
    return lora_size(
        shapes,
        found.lora,
        unet=not network.network_train_text_encoder_only and rates.unet_lr != 0,
        text_encoder=not network.network_train_unet_only and (not text_rates or text_rates[0] != 0),
    )


def _file_facts(found: Preflight) -> list[Facts]:
    if found.counts is None:
        return []
    files = planned_files(found.settings[SavingOptions], found.counts.max_train_steps, found.counts.steps_per_epoch)
    return [asdict(file) for file in files]


def _disk_facts(found: Preflight, size: LoraSize | None) -> Facts:
    """Bytes; None where they are not known before the model is loaded."""
    settings = found.settings
    saving, training = settings[SavingOptions], settings[TrainingOptions]
    output = Path(saving.output_dir or ".").expanduser()
    cache = data_folder(settings[JobOptions].data_dir) / "cache"
    cache_bytes = _latent_bytes(found) if settings[CachingOptions].cache_latents_to_disk else 0
    facts: Facts = {
        "output_dir": str(output),
        "output_free": free_bytes(output),
        "cache_dir": str(cache),
        "cache_bytes": cache_bytes,
        "cache_free": free_bytes(cache),
        "file_bytes": None,
        "state_bytes": None,
        "output_bytes": None,
    }
    if size is None or found.counts is None:
        return facts
    precision = saving.save_precision or ("fp16" if training.full_fp16 or training.full_bf16 else "float")
    file_bytes = size.numbers * FILE_BYTES[precision]
    optimizer = settings[OptimizerOptions].chosen.lower()
    kept = next((count for word, count in OPTIMIZER_BYTES.items() if word in optimizer), 2 * FLOAT_BYTES)
    state_bytes = size.numbers * (FLOAT_BYTES + kept)
    files = planned_files(saving, found.counts.max_train_steps, found.counts.steps_per_epoch)
    together = most_at_once(files, state=False) * file_bytes + most_at_once(files, state=True) * state_bytes
    return facts | {"file_bytes": file_bytes, "state_bytes": state_bytes, "output_bytes": together}


def _latent_bytes(found: Preflight) -> int:
    total = 0
    for dataset in found.scan.datasets:
        for image in (*dataset.images, *dataset.validation):
            width, height = image.bucket_wh
            copies = 2 if dataset.plan.subsets[image.subset].flip_aug else 1
            total += copies * (width // LATENT_CELL) * (height // LATENT_CELL) * LATENT_CHANNELS * FLOAT_BYTES
    return total
