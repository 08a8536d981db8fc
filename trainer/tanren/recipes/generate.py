"""Draw pictures: prompts in, one file for each picture out."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from PIL import ImageShow

from ..diffusion.samplers import KNOWN
from ..engine.precision import Precision, choose_precision, place
from ..errors import Problems, UsageError, UserError
from ..events import Phase, Report
from ..families.base import Family, Model
from ..formats.safetensors_header import read_header
from ..generation.batches import batches
from ..generation.check import Order
from ..generation.control import control_of
from ..generation.drawing import Drawer
from ..generation.keeping import Gallery
from ..generation.networks import Networks, put_on
from ..generation.request import Request
from ..generation.texts import PromptEncoder
from ..models.text_encoding import PromptRules
from ..options.dataset import DatasetOptions
from ..options.generating import DrawingModelOptions, DrawingSpeedOptions, PromptOptions
from ..options.generating_inputs import ControlOptions, DrawingNetworkOptions
from ..options.model import AttentionOptions, ModelOptions
from ..options.spec import Settings
from ..options.training import TrainingOptions

END = "Ctrl+Z and Enter" if sys.platform == "win32" else "Ctrl+D"

log = logging.getLogger("tanren")


def run(family: Family, settings: Settings, order: Order, report: Report) -> None:
    """Draw everything that is asked for.

    Raises:
        UserError: what only loading and drawing could show; pictures that are finished stay.
    """
    networks_asked = settings[DrawingNetworkOptions]
    if networks_asked.network_show_meta:
        show_metadata(networks_asked.network_weights)
    precision = choose_precision(TrainingOptions(mixed_precision=_dtype(settings)), PartialState().device, report)
    model = load(family, settings, order, precision, report)
    networks, notes = put_on(model, networks_asked)
    for note in notes:
        report.note(note)

    encoder = PromptEncoder(model)
    drawer = Drawer(
        model,
        settings,
        encoder,
        autocast=partial(precision.autocast, networks.needs_autocast),
        control=control_of(model, settings[ControlOptions]),
    )
    titles = {name: sampler.title for name, sampler in KNOWN.items()}
    gallery = Gallery(settings, Path(order.model).stem, titles, tells_sizes=order.base.tells_sizes)
    session = Session(drawer, networks, gallery, report)
    if settings[PromptOptions].interactive:
        session.converse(order, shows=not settings[PromptOptions].no_preview)
        return
    with report.phase("draw", len(order.requests)) as phase:
        for batch in batches(order.requests, settings[DrawingSpeedOptions].batch_size, encoder.length):
            session.draw(batch, phase)


def load(family: Family, settings: Settings, order: Order, precision: Precision, report: Report) -> Model:
    """The model as the options want it, ready to draw."""
    asked, prompts, speed = settings[DrawingModelOptions], settings[PromptOptions], settings[DrawingSpeedOptions]
    options = ModelOptions(
        pretrained_model_name_or_path=order.model,
        vae=asked.vae,
        v2=order.is_v2,
        v_parameterization=asked.v_parameterization,
        zero_terminal_snr=asked.zero_terminal_snr,
        no_half_vae=asked.no_half_vae,
        clip_skip=asked.clip_skip,
    )
    attention = AttentionOptions(sdpa=speed.sdpa, xformers=speed.xformers or speed.diffusers_xformers)
    parts = Settings(settings.command, [options, attention, DatasetOptions()])
    model = family.load(parts, place(precision, options), report)
    _check_clip_skip(model, asked.clip_skip)
    if speed.opt_channels_last:
        for parameter in model.denoiser.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    rules = PromptRules(prompts.max_embeddings_multiples or 1, breaks=True, keeps=prompts.emb_normalize_mode)
    model.text = replace(model.text, clip_skip=asked.clip_skip, prompts=rules)
    return model


def _check_clip_skip(model: Model, clip_skip: int | None) -> None:
    configs: list[Any] = [encoder.config for encoder in model.text_encoders]
    layers = min(config.num_hidden_layers for config in configs)
    if clip_skip is not None and clip_skip > layers:
        what = f"{clip_skip} is more than the {layers} layers of a text encoder."
        raise UsageError(where="--clip_skip", what=what, fix="Use 1 or 2; 2 is usual for anime models and SDXL.")


def show_metadata(paths: Sequence[str]) -> None:
    """Print what the network files say about themselves."""
    for path in paths:
        print(f"{path}:\n{json.dumps(read_header(Path(path)).metadata, ensure_ascii=False, indent=1)}", flush=True)


class Session:
    """Draws batches and keeps them, one after the other."""

    def __init__(self, drawer: Drawer, networks: Networks, gallery: Gallery, report: Report) -> None:
        self.drawer, self.networks, self.gallery, self.report = drawer, networks, gallery, report

    def draw(self, batch: Sequence[Request], phase: Phase | None = None, *, shows: bool = False) -> None:
        """Draw a batch and write its pictures at once: whoever stops the run keeps them."""
        self.networks.set_multipliers(batch[0].multipliers)
        for index, drawn in enumerate(self.drawer.draw(batch)):
            path = self.gallery.keep(drawn.image, drawn.request, index, drawn.first_stage)
            self.report.tell(
                "sample", file=str(path), prompt=drawn.request.prompt, seed=drawn.request.seed, index=index
            )
            if phase is not None:
                phase.advance()
            if shows:
                ImageShow.show(drawn.image)

    def converse(self, order: Order, *, shows: bool) -> None:
        """Draw what is typed, line by line, until the input ends; a line that is wrong costs nothing else."""
        if sys.stdin.isatty():
            print(f"Type a prompt, with options such as --n and --d; {END} ends.", flush=True)
        for line in sys.stdin:
            if not line.strip():
                continue
            problems = Problems()
            requests = order.planner.one(line, problems)
            for warning in problems.warnings:
                self.report.warning(warning)
            try:
                problems.raise_if_any()
                for request in requests:
                    self.draw([request], shows=shows)
            except UserError as problem:
                log.error("%s", problem)


def _dtype(settings: Settings) -> str:
    options = settings[DrawingModelOptions]
    return "bf16" if options.bf16 else "fp16" if options.fp16 else "no"
