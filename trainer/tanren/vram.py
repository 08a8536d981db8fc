"""How much memory a training takes, of a LoRA or a ControlNet-LLLite, told from its settings before anything is loaded.

    peak = frozen weights + what is trained + the largest of: a step, encoding pictures, drawing a sample

Frozen weights are counted in the model's header and multiplied by the bytes of their precision. What is trained has its
weights, gradients and the optimizer's numbers. The rest grows with the latent cells (8x8 pixels) of a batch; the
factors below were computed from the shapes of every operation of the real training step of SD 1.5 and SDXL (all
channels, attention that keeps no scores; torch 2.13, Nov 2026) with `benchmarks/memory.py`, which prints them again.
Models of other widths are scaled by their first layer.

Against runs on a CPU at 256 pixels, batch 1, rank 4 (docs/proofs.md): SD 1.5 in float32 estimated 4.9 GiB, measured
5.1; in bfloat16 with checkpointing and cached latents estimated 2.7, measured 2.75; SDXL in bfloat16 with checkpointing
and both caches estimated 7.0, measured 6.9. GPUs keep workspaces and gaps that shapes do not show: `ON_GPU` and the
upper side are allowances for them, not measurements.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path

from .formats.base_model import is_safetensors
from .formats.checkpoint_kind import SD1, SD2, SDXL
from .formats.safetensors_header import read_header
from .networks.lllite_size import numbers_for_sdxl
from .networks.lora_size import LoraSize
from .options.caching import CachingOptions
from .options.leco import LecoOptions
from .options.lllite import LlliteOptions
from .options.model import ModelOptions
from .options.network import NetworkOptions
from .options.optimizer import OptimizerOptions
from .options.rates import leaves_text_encoders_out
from .options.sampling import SamplingOptions
from .options.spec import Settings
from .options.training import TrainingOptions
from .paths import home_expanded
from .preflight import Preflight
from .room import FLOAT_BYTES, LATENT_CELL, kept_by_optimizer, kind_of_base, latent_bytes, text_bytes

KIB, MIB, GIB = 2**10, 2**20, 2**30
# Bytes in float32 per latent cell and picture; half of it in half precision.
ENCODING, DECODING = 160 * KIB, 192 * KIB
# What a step keeps for every control channel above the usual 32; up to there a ControlNet-LLLite keeps what a LoRA does
# (548 KiB without checkpointing, 60 with it; both factors of the LoRA are a little above).
CONTROL_CHANNEL, USUAL_CHANNELS = 1.2 * KIB, 32
# LoRA on 3x3 convolutions keeps their inputs too; networks of other packages run the plain layers.
WITH_CONVOLUTIONS, OTHER_NETWORK = 1.13, 1.6
FIRST_LAYER = 320
PARTS = (
    ("model.diffusion_model.", "unet"),
    ("cond_stage_model.", "text"),
    ("conditioner.embedders.", "text"),
    ("first_stage_model.", "vae"),
)
FOLDERS = (("unet", "unet"), ("text_encoder", "text"), ("text_encoder_2", "text"), ("vae", "vae"))
FIRST_LAYERS = ("model.diffusion_model.input_blocks.0.0.weight", "conv_in.weight")
ON_GPU, PROCESS, UPPER_SIDE, UPPER_MORE = 500 * MIB, 600 * MIB, 1.15, 250 * MIB
# Main memory beside a GPU: Python with torch and its libraries, and each process that prepares batches.
BESIDE_GPU, PER_WORKER = 2 * GIB, 300 * MIB


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a run takes at its peak.

    Args:
        weights: the frozen model.
        trained: the network's weights, gradients and optimizer.
        work: what steps, encoding or samples need beside them, the largest of the three.
        peak: all of it, with what the device itself needs.
        upper: where the peak may lie when the allowances are too small.
        main: main memory, when a GPU computes.
    """

    weights: int
    trained: int
    work: int
    peak: int
    upper: int
    main: int


@dataclass(frozen=True)
class Known:
    """What is known of the full-size models of one kind.

    Args:
        unet, text: numbers in the U-Net and in the text encoders, where no header tells.
        per_rank: numbers of a LoRA per rank, where no header tells.
        step, checkpointed_step, prediction: bytes in float32 per latent cell and picture; half in half precision.
        text_step: bytes in float32 that learning text encoders keep per token.
        token_tables: numbers of the text encoders' tables of tokens, which are never kept in 8 bits.
        block_inputs: stored inputs of blocks in `checkpointed_step`, which `--cpu_offload_checkpointing` moves.
    """

    unet: int
    text: int
    per_rank: int
    step: int
    checkpointed_step: int
    prediction: int
    text_step: int
    token_tables: int
    block_inputs: int


VAE_NUMBERS = 83_653_863
KNOWN = {
    SD1: Known(859_520_964, 123_060_480, 366_000, 318 * KIB, 113 * KIB, 29 * KIB, 650 * KIB, 37_945_344, 30 * KIB),
    SD2: Known(865_910_724, 340_387_840, 366_000, 318 * KIB, 113 * KIB, 29 * KIB, 1200 * KIB, 50_593_792, 30 * KIB),
    SDXL: Known(
        2_567_463_684, 817_720_320, 3_563_008, 567 * KIB, 73 * KIB, 18 * KIB, 3390 * KIB, 101_187_584, 44 * KIB
    ),
}


@dataclass(frozen=True)
class _Model:
    """Numbers per part, and the width in relation to Stable Diffusion's."""

    unet: int
    text: int
    vae: int
    width: float = 1.0


@dataclass(frozen=True)
class _Use:
    """How the settings use the model: bytes per number, what is kept at hand, what is computed once.

    With `merges_first` the model is there as a whole before it is rounded to 8 bits; with `waits_in_main_memory` cached
    parts are brought to the GPU for sample pictures only; `offloads` moves stored inputs of blocks to main memory.
    """

    weight_bytes: int
    vae_bytes: int
    unet_in_eight_bits: bool
    text_in_eight_bits: bool
    merges_first: bool
    draws_samples: bool
    caches_latents: bool
    caches_text: bool
    waits_in_main_memory: bool
    offloads: bool

    @property
    def puts_aside(self) -> bool:
        """Whether a part whose output is cached leaves the device that computes."""
        return not self.draws_samples or self.waits_in_main_memory


def memory_need(found: Preflight, size: LoraSize | None, *, on_gpu: bool) -> MemoryNeed:
    """What a run needs.

    Args:
        found: everything looked at.
        size: of the LoRA, where it is known.
        on_gpu: computed on a GPU, whose memory is meant then; else main memory.

    Raises:
        ModelFileError: the base model's header cannot be read.
    """
    use, model = _use_of(found.settings, on_gpu=on_gpu), _model_of(found)
    unet, text, vae = _parts_bytes(use, model, known_of(found))
    everything = unet + text + vae
    released_text = text if use.caches_text and use.puts_aside else 0
    released_vae = vae if use.caches_latents and use.puts_aside else 0
    weights = everything - released_text - released_vae
    trained = _trained_bytes(found, size)
    step, encoding, sampling = _work_bytes(found, use, model.width)
    phases = [
        (model.unet + model.text) * use.weight_bytes + vae if use.merges_first else everything,
        # Captions are cached before pictures.
        everything - released_text + (encoding if use.caches_latents else 0),
        weights + trained + max(step, 0 if use.caches_latents else encoding),
        everything + trained + sampling if use.draws_samples else 0,
    ]
    beside = _beside_bytes(found) + (released_text + released_vae if use.draws_samples else 0)
    if use.offloads:
        beside += int(largest_batch_cells(found) * known_of(found).block_inputs * use.weight_bytes / FLOAT_BYTES)
    peak = max(phases) + (0 if on_gpu else beside)
    own = ON_GPU if on_gpu else PROCESS
    return MemoryNeed(
        weights=weights,
        trained=trained,
        work=peak - weights - trained,
        peak=peak + own,
        upper=int(peak * UPPER_SIDE) + own + UPPER_MORE,
        main=BESIDE_GPU + beside if on_gpu else 0,
    )


def _parts_bytes(use: _Use, model: _Model, known: Known) -> tuple[int, int, int]:
    """Bytes of U-Net, text encoders and VAE."""
    unet = model.unet * (1 if use.unet_in_eight_bits else use.weight_bytes)
    whole = min(known.token_tables, model.text) if use.text_in_eight_bits else model.text
    return unet, whole * use.weight_bytes + model.text - whole, model.vae * use.vae_bytes


def _use_of(settings: Settings, *, on_gpu: bool) -> _Use:
    options, caching = settings[ModelOptions], settings[CachingOptions]
    # Without pictures prompts are encoded once, and nothing else is.
    has_pictures = LecoOptions not in settings
    training = settings[TrainingOptions]
    precision = training.mixed_precision
    # A CPU computes in float32 where float16 is asked for.
    weight_bytes = 2 if precision == "bf16" or (precision == "fp16" and on_gpu) else 4
    return _Use(
        weight_bytes=weight_bytes,
        vae_bytes=4 if options.no_half_vae else weight_bytes,
        unet_in_eight_bits=options.fp8_base or options.fp8_base_unet,
        text_in_eight_bits=options.fp8_base,
        merges_first=bool(settings[NetworkOptions].base_weights),
        draws_samples=settings[SamplingOptions].sample_prompts is not None,
        caches_latents=not has_pictures or caching.cache_latents or caching.cache_latents_to_disk,
        caches_text=not has_pictures
        or caching.cache_text_encoder_outputs
        or caching.cache_text_encoder_outputs_to_disk,
        waits_in_main_memory=on_gpu and not (options.lowram or options.highvram),
        offloads=on_gpu and training.cpu_offload_checkpointing and training.gradient_checkpointing,
    )


def _work_bytes(found: Preflight, use: _Use, width: float) -> tuple[int, int, int]:
    """Bytes beside the weights of a step, of encoding pictures, and of a sample."""
    batch = found.settings[CachingOptions].vae_batch_size
    if not use.caches_latents:
        batch = min(batch, max((dataset.plan.batch_size for dataset in found.scan.datasets), default=1))
    largest = max_cells(found)
    encoding = (0 if found.scan.pair_facts else largest) * batch * ENCODING * use.vae_bytes / FLOAT_BYTES * width
    # Guidance predicts twice at once.
    predicting = 2 * known_of(found).prediction * use.weight_bytes
    sampling = largest * max(predicting, DECODING * use.vae_bytes) / FLOAT_BYTES * width
    step = _step_bytes(found, use)
    if found.scan.pair_facts:
        # Up to three prompts at once are predicted without a gradient.
        step = max(step, 3 * largest_batch_cells(found) * known_of(found).prediction)
    return int(step * use.weight_bytes / FLOAT_BYTES * width), int(encoding), int(sampling)


def _beside_bytes(found: Preflight) -> int:
    """Main memory for what is cached there and for the processes that prepare batches."""
    caching = found.settings[CachingOptions]
    latents = latent_bytes(found) if caching.cache_latents and not caching.cache_latents_to_disk else 0
    text = (
        0 if caching.cache_text_encoder_outputs_to_disk or not caching.cache_text_encoder_outputs else text_bytes(found)
    )
    workers = min(found.settings[TrainingOptions].max_data_loader_n_workers, os.cpu_count() or 1)
    return latents + text + workers * PER_WORKER


def largest_batch_cells(found: Preflight) -> int:
    """Latent cells of the largest batch there will be."""
    most = 0
    for dataset in found.scan.datasets:
        for (width, height), count in dataset.bucket_counts().items():
            most = max(most, _cells(width, height) * min(dataset.plan.batch_size, count))
    return max([most, *(_cells(*pair["resolution_hw"]) * pair["batch_size"] for pair in found.scan.pair_facts)])


def max_cells(found: Preflight) -> int:
    """Latent cells of the largest picture."""
    sizes = {size for dataset in found.scan.datasets for size in dataset.bucket_counts()}
    sizes |= {pair["resolution_hw"] for pair in found.scan.pair_facts}
    return max((_cells(*size) for size in sizes), default=0)


def _cells(width: int, height: int) -> int:
    return (width // LATENT_CELL) * (height // LATENT_CELL)


def _step_bytes(found: Preflight, use: _Use) -> float:
    """What a step keeps in float32 at Stable Diffusion's own width."""
    settings = found.settings
    training, network = settings[TrainingOptions], settings[NetworkOptions]
    known = known_of(found)
    per_cell: float = known.checkpointed_step if training.gradient_checkpointing else known.step
    per_cell -= known.block_inputs if use.offloads else 0
    factor = 1.0
    if isinstance(network, LlliteOptions):
        more = max(0, (network.cond_emb_dim or 0) - USUAL_CHANNELS)
        per_cell += 0 if training.gradient_checkpointing else more * CONTROL_CHANNEL
    elif found.lora is None:
        factor = OTHER_NETWORK
    elif found.lora.adapts_convolutions:
        factor = WITH_CONVOLUTIONS
    total = largest_batch_cells(found) * factor * per_cell
    learns_text = not network.network_train_unet_only and not leaves_text_encoders_out(settings)
    if learns_text and not training.gradient_checkpointing:
        batch = max((dataset.plan.batch_size for dataset in found.scan.datasets), default=1)
        total += batch * (settings[ModelOptions].max_token_length or 75) * known.text_step
    return total


def known_of(found: Preflight) -> Known:
    """Of the kind that the base model is, or that the command trains."""
    return KNOWN[kind_of_base(found)]


def _trained_bytes(found: Preflight, size: LoraSize | None) -> int:
    settings = found.settings
    training, network = settings[TrainingOptions], settings[NetworkOptions]
    if size:
        numbers = size.numbers
    elif isinstance(network, LlliteOptions):
        numbers = numbers_for_sdxl(network.cond_emb_dim or USUAL_CHANNELS, network.network_dim or 1)
    else:
        numbers = (network.network_dim or 4) * known_of(found).per_rank
    own = 2 if training.full_fp16 or training.full_bf16 else 4
    # A fused update drops each gradient as soon as it is there.
    gradients = 0 if settings[OptimizerOptions].fused_backward_pass else own
    return numbers * (own + gradients + kept_by_optimizer(settings[OptimizerOptions].chosen))


def _model_of(found: Preflight) -> _Model:
    """Numbers of the base model, from its header or headers; those of the standard model where there are none."""
    known = known_of(found)
    standard = _Model(known.unet, known.text, VAE_NUMBERS)
    name = found.settings[ModelOptions].pretrained_model_name_or_path
    path = home_expanded(name) if name else None
    # Without a kind there is no header: a hub id, a .ckpt, or something that was complained about.
    if path is None or found.base is None:
        return standard
    numbers = dict.fromkeys(("unet", "text", "vae"), 0)
    width = FIRST_LAYER
    for file, part in _files_of(path):
        for key, entry in read_header(file).tensors.items():
            named = part or next((one for prefix, one in PARTS if key.startswith(prefix)), None)
            if named is not None:
                numbers[named] += prod(entry.shape)
            if named == "unet" and key in FIRST_LAYERS:
                width = entry.shape[0]
    if not numbers["unet"]:
        return standard
    text, vae = numbers["text"] or standard.text, numbers["vae"] or standard.vae
    return _Model(numbers["unet"], text, vae, width / FIRST_LAYER)


def _files_of(path: Path) -> list[tuple[Path, str | None]]:
    """Safetensors files of a model, each with the part it holds; None for a whole checkpoint."""
    if path.is_file():
        return [(path, None)] if is_safetensors(path) else []
    found: list[tuple[Path, str | None]] = []
    for folder, part in FOLDERS:
        files = sorted((path / folder).glob("*.safetensors"))
        whole = [file for file in files if ".fp16." not in file.name] or files
        found += [(file, part) for file in whole]
    return found
