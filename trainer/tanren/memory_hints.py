"""Memory that ran out, told with what would help the settings at hand."""

from __future__ import annotations

from collections.abc import Iterator

from .commands import COMMANDS, PICTURES
from .errors import OutOfMemory
from .formats.checkpoint_kind import SD1, SDXL
from .options.caching import CachingOptions
from .options.dataset import DatasetOptions
from .options.model import ModelOptions
from .options.network import NetworkOptions
from .options.optimizer import OptimizerOptions
from .options.optimizer_names import is_adafactor
from .options.spec import Settings
from .options.training import TrainingOptions

# What torch and its allocators say; they have no common class for it.
SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "cudnn_status_alloc_failed")
USUAL_SIDES = {SD1: 512, SDXL: 1024}
LARGE_RANK = 64


def memory_problem(error: BaseException, settings: Settings) -> OutOfMemory | None:
    """The problem to tell when an error means that memory ran out, else None."""
    text = str(error)
    if not is_out_of_memory(error):
        return None
    place = "GPU" if "cuda" in text.lower() or "gpu" in text.lower() else "main"
    hints = list(hints_for(settings, on_gpu=place == "GPU"))
    fix = (
        f"What would help: {'; '.join(hints)}." if hints else "A smaller model or a machine with more memory is needed."
    )
    return OutOfMemory(what=f"The {place} memory is exhausted.", why=text.partition("\n")[0][:300], fix=fix)


def is_out_of_memory(error: BaseException) -> bool:
    """True for an error that means that memory ran out, of whatever kind."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)


def hints_for(settings: Settings, *, on_gpu: bool) -> Iterator[str]:
    """Settings that would need less memory, of a GPU or the main one, the most effective first."""
    training, dataset, caching = settings[TrainingOptions], settings[DatasetOptions], settings[CachingOptions]
    if not training.gradient_checkpointing:
        yield "--gradient_checkpointing"
    elif on_gpu and not training.cpu_offload_checkpointing:
        yield "--cpu_offload_checkpointing"
    if dataset.train_batch_size > 1:
        yield f"a smaller --train_batch_size (now {dataset.train_batch_size}) with --gradient_accumulation_steps"
    if training.mixed_precision == "no":
        yield "--mixed_precision bf16 or fp16"
    model = settings[ModelOptions]
    if training.mixed_precision != "no" and not (model.fp8_base or model.fp8_base_unet):
        yield "--fp8_base_unet, which keeps the U-Net in 8 bits"
    has_pictures = COMMANDS[settings.command].reads == PICTURES
    if has_pictures and not (caching.cache_latents or caching.cache_latents_to_disk):
        yield "--cache_latents"
    if not has_pictures:
        yield "a smaller resolution or batch_size in the prompt file"
    elif not settings[NetworkOptions].network_train_unet_only:
        yield "--network_train_unet_only (with --cache_text_encoder_outputs)"
    elif not (caching.cache_text_encoder_outputs or caching.cache_text_encoder_outputs_to_disk):
        yield "--cache_text_encoder_outputs, where captions do not vary"
    optimizer = settings[OptimizerOptions]
    if "8bit" not in optimizer.chosen.lower():
        yield "--optimizer_type AdamW8bit"
    is_alone = training.gradient_accumulation_steps == 1 and training.mixed_precision != "fp16"
    if is_adafactor(optimizer.chosen) and is_alone and not optimizer.fused_backward_pass:
        yield "--fused_backward_pass"
    if (settings[NetworkOptions].network_dim or 0) > LARGE_RANK:
        yield f"a smaller --network_dim (now {settings[NetworkOptions].network_dim})"
    usual = USUAL_SIDES[COMMANDS[settings.command].bases[0]]
    if dataset.resolution and dataset.resolution[0] * dataset.resolution[1] > usual**2:
        yield "a smaller --resolution (now {},{})".format(*dataset.resolution)
