"""The room on the disk that a run will need, estimated before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from .checkpoint.names import most_at_once, planned_files
from .commands import COMMANDS
from .disk import SPARE_BYTES, free_bytes, size_text
from .errors import Problems, StorageError
from .formats.base_model import is_safetensors
from .formats.checkpoint_kind import SD1, SD2, SDXL
from .formats.safetensors_header import read_header
from .networks.lllite_size import lllite_size
from .networks.lora_size import SECOND_ENCODER, LoraSize, lora_size
from .options.caching import CachingOptions
from .options.job import JobOptions
from .options.lllite import LlliteOptions
from .options.model import ModelOptions
from .options.network import NetworkOptions
from .options.optimizer import OptimizerOptions
from .options.rates import leaves_text_encoders_out
from .options.saving import SavingOptions
from .options.training import TrainingOptions
from .paths import data_folder, home_expanded
from .preflight import Preflight

LATENT_CELL, LATENT_CHANNELS, FLOAT_BYTES = 8, 4, 4
FILE_BYTES = {"float": 4, "fp16": 2, "bf16": 2}
# Bytes that an optimizer keeps per trained number, where it is not AdamW's two floats.
OPTIMIZER_BYTES = {"8bit": 2, "lion": 4, "sgd": 4, "adafactor": 4, "dadapt": 12, "prodigy": 16}
# Of a token's state, and of the state for the whole caption.
TEXT_WIDTHS = {SD1: (768, 0), SD2: (1024, 0), SDXL: (2048, 1280)}
FILES_OF_FOLDER = (
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "text_encoder/model.safetensors",
    "text_encoder/model.fp16.safetensors",
    f"{SECOND_ENCODER}/model.safetensors",
    f"{SECOND_ENCODER}/model.fp16.safetensors",
)


@dataclass(frozen=True)
class Room:
    """Bytes needed and free; None where they are not known before the model is loaded.

    Args:
        output_dir, output_free: where results go.
        cache_dir, cache_free, cache_bytes: where latents and encoded captions are kept on disk; 0 bytes when they
            are not.
        file_bytes, state_bytes: one file of weights, one state.
        output_bytes: the most that results take at the same time.
    """

    output_dir: str
    output_free: int
    cache_dir: str
    cache_free: int
    cache_bytes: int
    file_bytes: int | None = None
    state_bytes: int | None = None
    output_bytes: int | None = None


def size_of(found: Preflight) -> LoraSize | None:
    """Layers and numbers of our own networks; None where only loading the model or another package can tell."""
    name, network = found.settings[ModelOptions].pretrained_model_name_or_path, found.settings[NetworkOptions]
    if found.base is None or name is None:
        return None
    path = home_expanded(name)
    paths = [path] if path.is_file() else [path / part for part in FILES_OF_FOLDER if (path / part).is_file()]
    shapes = {
        f"{SECOND_ENCODER}.{key}" if one.parent.name == SECOND_ENCODER else key: entry.shape
        for one in paths
        if is_safetensors(one)
        for key, entry in read_header(one).tensors.items()
    }
    if isinstance(network, LlliteOptions):
        return lllite_size(shapes, network.cond_emb_dim or 0, network.network_dim or 0)
    if found.lora is None:
        return None
    rates = found.settings[OptimizerOptions]
    return lora_size(
        shapes,
        found.lora,
        unet=not network.network_train_text_encoder_only and not rates.leaves_unet_out,
        text_encoder=not network.network_train_unet_only and not leaves_text_encoders_out(found.settings),
    )


def room_of(found: Preflight, size: LoraSize | None) -> Room:
    """What the run needs and what there is."""
    settings = found.settings
    saving = settings[SavingOptions]
    output = home_expanded(saving.output_dir or ".")
    cache = data_folder(settings[JobOptions].data_dir) / "cache"
    caching = settings[CachingOptions]
    cache_bytes = latent_bytes(found) if caching.cache_latents_to_disk else 0
    cache_bytes += text_bytes(found) if caching.cache_text_encoder_outputs_to_disk else 0
    places = (str(output), free_bytes(output), str(cache), free_bytes(cache), cache_bytes)
    if size is None or found.counts is None:
        return Room(*places)
    training = settings[TrainingOptions]
    precision = saving.save_precision or ("fp16" if training.full_fp16 or training.full_bf16 else "float")
    file_bytes = size.numbers * FILE_BYTES[precision]
    state_bytes = size.numbers * (FLOAT_BYTES + kept_by_optimizer(settings[OptimizerOptions].chosen))
    files = planned_files(saving, found.counts.max_train_steps, found.counts.steps_per_epoch)
    together = most_at_once(files, state=False) * file_bytes + most_at_once(files, state=True) * state_bytes
    return Room(*places, file_bytes, state_bytes, together)


def kept_by_optimizer(name: str) -> int:
    """Bytes that an optimizer keeps for every trained number."""
    return next((count for word, count in OPTIMIZER_BYTES.items() if word in name.lower()), 2 * FLOAT_BYTES)


def check_room(room: Room, problems: Problems) -> None:
    """Refuse a run whose results or caches will not fit, with both numbers."""
    for where, needed, free in (
        (room.output_dir, room.output_bytes or 0, room.output_free),
        (room.cache_dir, room.cache_bytes, room.cache_free),
    ):
        if needed and needed + SPARE_BYTES > free:
            problems.add(
                StorageError(
                    where=where,
                    what=f"The run needs {size_text(needed)} there, but only {size_text(free)} are free.",
                    fix="Free some space, choose a folder on another disk, or keep fewer files (--save_last_n_epochs).",
                )
            )


def latent_bytes(found: Preflight) -> int:
    """Bytes of all encoded pictures, mirrored ones included."""
    total = 0
    for dataset in found.scan.datasets:
        for image in (*dataset.images, *dataset.validation):
            width, height = image.bucket_wh
            copies = 2 if dataset.plan.subsets[image.subset].flip_aug else 1
            total += copies * (width // LATENT_CELL) * (height // LATENT_CELL) * LATENT_CHANNELS * FLOAT_BYTES
    return total


def text_bytes(found: Preflight) -> int:
    """Bytes of all encoded captions, each picture having another."""
    settings = found.settings
    tokens = (settings[ModelOptions].max_token_length or 75) + 2
    width, pooled = TEXT_WIDTHS[kind_of_base(found)]
    pictures = sum(len(dataset.images) + len(dataset.validation) for dataset in found.scan.datasets)
    number = FLOAT_BYTES if settings[TrainingOptions].mixed_precision == "no" else FLOAT_BYTES // 2
    return pictures * (tokens * width + pooled) * number


def kind_of_base(found: Preflight) -> str:
    """Kind that the base model is, or that the command trains where no header tells."""
    if found.base is not None and found.base.family in TEXT_WIDTHS:
        return found.base.family
    bases = COMMANDS[found.settings.command].bases
    return SD2 if found.settings[ModelOptions].v2 and SD2 in bases else bases[0]
