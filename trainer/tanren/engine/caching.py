"""Encoding pictures and captions once, before training, when the options ask for it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.batch import TextStates
from ..data.cache_pass import Crew
from ..data.dataset import BucketDataset
from ..disk import TEMP_PREFIX
from ..errors import UsageError
from ..families.base import Model
from ..networks.base import TrainedNetwork
from ..options.caching import CachingOptions
from ..options.job import JobOptions
from ..options.model import ModelOptions
from ..options.sampling import SamplingOptions
from ..options.spec import Settings
from ..paths import data_folder
from .memory import return_free_memory
from .processes import Processes
from .resting import Resting


def cache_inputs(
    dataset: BucketDataset, model: Model, network: TrainedNetwork, settings: Settings, processes: Processes
) -> Resting:
    """Fill the caches that the options ask for; returns the parts of the model that rest from then on.

    Raises:
        UsageError: captions are to be cached, but the text encoder learns.
        DataError: pictures that cannot be read, or whose latents are not finite.
    """
    options = settings[CachingOptions]
    folder = data_folder(settings[JobOptions].data_dir) / "cache"
    crew = crew_around(folder, processes)
    draws_pictures = settings[SamplingOptions].sample_prompts is not None
    resting = Resting(settings[ModelOptions], model.placement.device, draws_pictures=draws_pictures)
    # Captions first: pictures need much more memory beside the weights, and text encoders are large.
    if options.cache_text_encoder_outputs or options.cache_text_encoder_outputs_to_disk:
        _refuse_learning_text(network)
        on_disk = folder if options.cache_text_encoder_outputs_to_disk else None
        rules = f"{model.text.clip_skip} {model.text.max_token_length} {model.text.weighted_captions}"
        dataset.cache_text(_text_encoder(model), f"{fingerprint(model.text_encoders)} {rules}", on_disk, crew)
        for encoder in model.text_encoders:
            resting.put(encoder)
    if options.cache_latents or options.cache_latents_to_disk:
        on_disk = folder if options.cache_latents_to_disk else None
        dataset.cache_latents(_latent_encoder(model), fingerprint([model.vae]), on_disk, crew)
        resting.put(model.vae)
    return_free_memory()
    return resting


def crew_around(folder: Path, processes: Processes) -> Crew:
    """This process among those that see the same cache folder: all of them, or those of one machine."""
    if processes.count == 1:
        return Crew()
    folder.mkdir(parents=True, exist_ok=True)
    run = processes.from_main(secrets.token_hex(8))
    marks = [folder / f"{TEMP_PREFIX}{run}-{index}.here" for index in range(processes.count)]
    own = marks[processes.index]
    own.touch()
    try:
        processes.wait()
        seen = [index for index, mark in enumerate(marks) if mark.exists()]
        processes.wait()
    finally:
        own.unlink()
    return Crew(seen.index(processes.index), len(seen), processes.wait, processes.gather)


def fingerprint(models: Iterable[nn.Module]) -> str:
    """Changes with any weight, its name or its number type; 32 hex digits."""
    digest = hashlib.sha256()
    for model in models:
        for name, tensor in model.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()[:32]


def _latent_encoder(model: Model) -> Callable[[Tensor, Tensor], Tensor]:
    @torch.no_grad()
    def encode(pixels: Tensor, noise: Tensor) -> Tensor:
        device = model.placement.device
        return model.family.encode_pixels(model, pixels.to(device), noise.to(device)).cpu()

    return encode


def _text_encoder(model: Model) -> Callable[[list[str]], TextStates]:
    @torch.no_grad()
    def encode(captions: list[str]) -> TextStates:
        states = model.family.encode_text(model, captions)
        return TextStates(states.hidden.cpu(), None if states.pooled is None else states.pooled.cpu())

    return encode


def _refuse_learning_text(network: TrainedNetwork) -> None:
    if network.trains_text_encoder:
        raise UsageError(
            where="--cache_text_encoder_outputs",
            what="Cached outputs carry no gradient, but the text encoder is to learn.",
            fix="Add --network_train_unet_only, or leave the cache away.",
        )
