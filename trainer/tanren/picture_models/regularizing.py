"""`regularize`: pictures of a class for `--reg_data_dir`, drawn by the base model with the trainer's own samplers.

Picture number i has the seed `seed + i` and carries it in its name, so that a run that was stopped goes on where it was
and a later one with a larger count adds to it. Captions lie beside them. Pictures are written in portions, each of
which can be undone, so that the journal is free for other work meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from ..commands import COMMANDS
from ..diffusion.samplers import KNOWN
from ..engine.precision import Precision, place
from ..engine.sampling import Picture, draw_picture
from ..errors import EnvironmentProblem, ModelFileError, OutOfMemory, StoppedOnRequest, UsageError
from ..events import Phase, Report
from ..families import sd, sdxl
from ..families.base import Family, Model
from ..formats.checkpoint_kind import SD2, TITLES, CheckpointKind
from ..models.load import open_base
from ..options.dataset import DatasetOptions
from ..options.model import AttentionOptions, ModelOptions
from ..options.spec import Settings
from ..paths import check_created_name
from ..preparation.journal import Write
from .onnx_file import first_line
from .pictures import Outcome
from .portions import Portions
from .requests import RegularizeRequest
from .writing import png_bytes

FAMILIES: dict[str, Family] = {".families.sd": sd.FAMILY, ".families.sdxl": sdxl.FAMILY}
DTYPES = {"fp32": "no", "fp16": "fp16", "bf16": "bf16"}
COMPUTE = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
TRANSPARENT_SIDE = 512
HEARTBEAT_SECONDS = 5.0
# Each picture is a piece of work worth keeping, so a portion is smaller than those of other tools.
PORTION_SECONDS = 60.0


@dataclass(frozen=True)
class ToDraw:
    """A picture that is not there yet."""

    path: Path
    prompt: str
    seed: int


def regularize(request: RegularizeRequest, report: Report) -> Outcome:
    """Draw what is missing of the pictures that were asked for."""
    if request.sampler not in KNOWN:
        raise UsageError(
            where="--sampler", what=f"{request.sampler!r} is not known.", fix=f"Samplers: {', '.join(KNOWN)}."
        )
    outcome = Outcome()
    missing = list(missing_pictures(request))
    outcome.unchanged = request.count - len(missing)
    if outcome.unchanged:
        report.note(f"{outcome.unchanged} pictures are there already; the run goes on behind them.")
    if request.dry_run or not missing:
        for one in missing:
            report.tell("picture", file=str(one.path), changed=True, text=one.prompt, seed=one.seed)
        outcome.written = len(missing)
        return outcome
    draw = _draw_nothing(request) if request.transparent else _drawer(request, report)
    with report.phase("regularize", len(missing)) as phase:
        _draw_all(request, missing, draw, phase, report, outcome)
    return outcome


def missing_pictures(request: RegularizeRequest) -> Iterator[ToDraw]:
    """Those of the wanted pictures that are not there, in the order of their seeds."""
    name = check_created_name(f"{request.repeats}_{request.class_name}", where="--class")
    stem = request.class_name.replace(" ", "_")
    for index in range(request.count):
        seed = request.seed + index
        path = request.out / name / f"{stem}_{seed:010d}.png"
        if not path.exists():
            yield ToDraw(path, request.prompts[index % len(request.prompts)], seed)


def settings_for(request: RegularizeRequest, kind: CheckpointKind) -> Settings:
    """The settings under which a family loads a base model of this kind to draw with it."""
    options = ModelOptions(
        pretrained_model_name_or_path=request.base,
        v2=kind.family == SD2,
        v_parameterization=request.v_prediction or kind.prediction == "v",
        zero_terminal_snr=kind.zero_terminal_snr,
        vae=request.vae,
        no_half_vae=request.no_half_vae,
        clip_skip=request.clip_skip,
    )
    return Settings("regularize", [options, AttentionOptions(), DatasetOptions()])


def family_of(kind: CheckpointKind, name: str) -> Family:
    """The family that draws with a base model of this kind.

    Raises:
        ModelFileError: none does.
    """
    for command in COMMANDS.values():
        if kind.family in command.bases and command.family in FAMILIES:
            return FAMILIES[command.family]
    raise ModelFileError(
        where="--model",
        what=f"{name} is {TITLES[kind.family]}, which cannot draw here.",
        fix="Give a checkpoint of Stable Diffusion 1, 2 or XL.",
    )


def _drawer(
    request: RegularizeRequest, report: Report
) -> Callable[[ToDraw, Callable[[], None]], tuple[Image.Image, str]]:
    device = _device(request.device)
    source = open_base(request.base)
    family = family_of(source.kind, source.path.name)
    settings = settings_for(request, source.kind)
    used = DTYPES.get(request.precision) or ("fp16" if device.type == "cuda" else "no")
    precision = Precision(used, COMPUTE[used], torch.float32, device)
    model: Model = family.load(settings, place(precision, settings[ModelOptions]), report)
    default = family.base_names(settings).default_resolution
    example = Picture(
        prompt="",
        negative_prompt=request.negative,
        size_wh=request.size_wh or (default, default),
        seed=0,
        steps=request.steps,
        scale=request.scale,
        sampler=request.sampler,
    )

    def draw(one: ToDraw, on_step: Callable[[], None]) -> tuple[Image.Image, str]:
        picture = replace(example, prompt=one.prompt, seed=one.seed)
        try:
            return draw_picture(model, picture, on_step=on_step), picture.parameters(model.text.clip_skip)
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                what="The GPU's memory is not enough to draw a picture of this size.",
                why=first_line(error),
                fix="Use a smaller --size, --precision fp16, or close other programs that use the GPU.",
            ) from error

    return draw


def _draw_nothing(request: RegularizeRequest) -> Callable[[ToDraw, Callable[[], None]], tuple[Image.Image, str]]:
    size = request.size_wh or (TRANSPARENT_SIDE, TRANSPARENT_SIDE)

    def draw(one: ToDraw, on_step: Callable[[], None]) -> tuple[Image.Image, str]:
        on_step()
        return Image.new("RGBA", size, (0, 0, 0, 0)), ""

    return draw


def _draw_all(
    request: RegularizeRequest,
    missing: list[ToDraw],
    draw: Callable[[ToDraw, Callable[[], None]], tuple[Image.Image, str]],
    phase: Phase,
    report: Report,
    outcome: Outcome,
) -> None:
    title = f"Regularization pictures of {request.class_name}"
    with Portions(title, request.out, report, seconds=PORTION_SECONDS) as portions:
        for one in missing:
            image, parameters = draw(one, _between_steps(phase, report))
            data = png_bytes(image, parameters)
            tell = partial(report.tell, "picture", file=str(one.path), changed=True, text=one.prompt, seed=one.seed)
            portions.add(partial(_writes, request, one, data, outcome), len(data), tell)
            phase.advance()


def _writes(request: RegularizeRequest, one: ToDraw, data: bytes, outcome: Outcome) -> list[Write]:
    """The picture comes last: where it is, its caption is as well."""
    if one.path.exists():
        outcome.unchanged += 1
        return []
    outcome.written += 1
    caption = one.path.with_suffix(request.caption_extension)
    if not request.writes_captions or caption.exists():
        return [Write(one.path, data, None)]
    return [Write(caption, f"{one.prompt}\n".encode(), None), Write(one.path, data, None)]


def _between_steps(phase: Phase, report: Report) -> Callable[[], None]:
    """Signs of life during slow pictures; a request to stop is heard within a step, and the picture given up."""
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if report.is_asked_to_stop():
            raise StoppedOnRequest(
                f"Stopped on request after {phase.done} of {phase.total} pictures. The same command goes on."
            )
        if time.monotonic() - last > HEARTBEAT_SECONDS:
            last = time.monotonic()
            phase.advance(0)

    return beat


def _device(name: str) -> torch.device:
    if name == "auto":
        found = torch.accelerator.current_accelerator()
        return found if found is not None and torch.accelerator.is_available() else torch.device("cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise EnvironmentProblem(
            where="--device cuda",
            what="torch sees no CUDA GPU.",
            fix="Leave --device out to use the CPU; `python launch.py doctor` tells more.",
        )
    return torch.device(name)
