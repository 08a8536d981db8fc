"""Everything about a picture run that can be told before a model is loaded. Without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import Generator, PictureBase
from ..errors import Problems, UsageError, UserError
from ..formats.base_model import kind_at
from ..formats.checkpoint_kind import SD1, SD2, SDXL, CheckpointKind, base_model_problem
from ..formats.extra_models import check_vae
from ..formats.limits import read_settings_text
from ..models.hub import is_hub_id
from ..networks.module_names import OWN, check_module
from ..options.checks import check_declared_rules
from ..options.generating import BaseKindOptions, DrawingModelOptions, DrawingOptions, PromptOptions
from ..options.generating_inputs import ControlOptions, DrawingNetworkOptions
from ..options.sampling import FROM_PURE_NOISE
from ..options.spec import Settings
from ..paths import home_expanded, resolve_user_path
from .request import Planner, Request
from .sources import read_inputs, stored_prompts

PATTERN = frozenset("*?[")
CKPT = "--ckpt"


@dataclass(frozen=True)
class Order:
    """What is going to be drawn.

    Args:
        model: file, folder or hub id.
        base: what it is.
        kind: as its file says; None when only loading it tells.
        requests: every picture; empty when prompts are typed.
        planner: makes requests of typed prompts.
        is_v2: it is Stable Diffusion 2.
    """

    model: str
    base: PictureBase
    kind: CheckpointKind | None
    requests: Sequence[Request]
    planner: Planner
    is_v2: bool = False


def examine_order(command: Generator, settings: Settings, problems: Problems) -> Order:
    """Look at everything; what is wrong goes to `problems`.

    Args:
        command: what runs.
        settings: parsed.
        problems: receives every problem and warning.
    """
    check_declared_rules(settings, problems)
    model = _model(settings[DrawingModelOptions], problems)
    kind = _kind(model, problems)
    base = _base(command, settings[BaseKindOptions], kind, model, problems)
    if kind is not None:
        _check_kind(settings, kind, base, model, problems)
    _check_networks(settings[DrawingNetworkOptions], problems)
    _check_control(settings[ControlOptions], base, problems)
    drawing = settings[DrawingOptions]
    if settings[DrawingModelOptions].zero_terminal_snr and drawing.sampler not in FROM_PURE_NOISE:
        what = f"{drawing.sampler} cannot begin with pure noise."
        problems.add(UsageError(where="--zero_terminal_snr", what=what, fix=f"Take {', '.join(FROM_PURE_NOISE)}."))
    inputs = read_inputs(settings, problems)
    planner = Planner(settings, base.side, inputs)
    requests: list[Request] = []
    if not settings[PromptOptions].interactive:
        lines = [] if problems.errors else _lines(settings[PromptOptions], planner, problems)
        requests = planner.plan(lines, problems)
    is_v2 = settings[BaseKindOptions].v2 if kind is None else kind.family == SD2
    return Order(model, base, kind, requests, planner, is_v2)


def _lines(options: PromptOptions, planner: Planner, problems: Problems) -> list[str]:
    """The prompts of the run; enough for every picture to begin with."""
    if options.prompt is not None and options.from_file is not None:
        what = "It cannot go together with --prompt: prompts come from one place."
        problems.add(UsageError(where="--from_file", what=what, fix="Leave one of them out."))
    starts = planner.inputs.starts
    if options.prompt is not None:
        lines = [options.prompt]
    elif options.from_file is not None:
        lines = _from_file(options.from_file, problems)
    elif starts:
        planner.inputs.pictures_each = options.images_per_prompt
        return stored_prompts(starts)
    else:
        fix = "Add --prompt='…', --from_file=FILE.txt or --interactive."
        problems.add(UsageError(where="--prompt", what="There is nothing to draw.", fix=fix))
        return []
    missing = math.ceil(len(starts) / options.images_per_prompt) - len(lines)
    return [*lines, *(lines[index % len(lines)] for index in range(missing))] if lines else lines


def _from_file(name: str, problems: Problems) -> list[str]:
    where = f"--from_file {name}"
    try:
        text = read_settings_text(resolve_user_path(name, "file", where="--from_file"))
    except UserError as problem:
        problems.add(problem)
        return []
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        problems.add(UsageError(where=where, what="The file holds no prompts.", fix="Write one a line."))
    return lines


def _model(options: DrawingModelOptions, problems: Problems) -> str:
    """The model's file, folder or hub id; empty after a complaint."""
    name = options.ckpt or ""
    if not name:
        problems.add(UsageError(where=CKPT, what="The model was not named.", fix="Add --ckpt=MODEL.safetensors."))
        return ""
    path = home_expanded(name)
    if not path.exists() and PATTERN & set(name):
        found = sorted(path.parent.glob(path.name))
        if len(found) != 1:
            shown = f": {', '.join(one.name for one in found[:5])}" if found else ""
            what = f"{len(found)} files fit the pattern {name!r}{shown}."
            problems.add(UsageError(where=CKPT, what=what, fix="Name one of them."))
            return ""
        name, path = str(found[0]), found[0]
    if is_hub_id(name) and not path.exists():
        return name
    try:
        return str(resolve_user_path(name, "folder" if path.is_dir() else "file", where=CKPT))
    except UserError as problem:
        problems.add(problem)
        return ""


def _kind(model: str, problems: Problems) -> CheckpointKind | None:
    path = Path(model)
    if not model or not path.exists():
        return None
    try:
        return kind_at(path)
    except UserError as problem:
        problems.add(problem)
        return None


def _base(
    command: Generator, asked: BaseKindOptions, kind: CheckpointKind | None, model: str, problems: Problems
) -> PictureBase:
    """What the model is: as its file says, else as the options say, else the command's first."""
    said = SDXL if asked.sdxl else SD2 if asked.v2 else SD1 if asked.v1 else None
    if kind is not None and said is not None and kind.family != said:
        what = f"{Path(model).name} is {kind.sentence}."
        flag = {SD1: "--v1", SD2: "--v2", SDXL: "--sdxl"}[said]
        problems.add(UsageError(where=flag, what=what, fix=f"Leave {flag} out: the file says what it is."))
    family = kind.family if kind is not None else said
    return next((base for base in command.bases if family in base.kinds), command.bases[0])


def _check_kind(settings: Settings, kind: CheckpointKind, base: PictureBase, model: str, problems: Problems) -> None:
    vae = settings[DrawingModelOptions].vae
    misfit = base_model_problem(kind, model, bases=base.kinds, v2=kind.family == SD2, needs_vae=vae is None)
    if misfit is not None:
        misfit.where = CKPT
        problems.add(misfit)
    if vae and home_expanded(vae).is_file():
        try:
            check_vae(home_expanded(vae), vae)
        except UserError as problem:
            problems.add(problem)


def _check_networks(options: DrawingNetworkOptions, problems: Problems) -> None:
    count = len(options.network_weights)
    for name, given in (("network_mul", options.network_mul), ("network_args", options.network_args)):
        if len(given) > count > 0:
            what = f"There are {len(given)} for {count} networks."
            problems.add(UsageError(where=f"--{name}", what=what, fix="Give one for each of --network_weights."))
    for path in options.network_weights:
        try:
            resolve_user_path(path, "file", where="--network_weights")
        except UserError as problem:
            problems.add(problem)
    for module in options.network_module:
        try:
            check_module(module, typed_at_shell=True)
        except UserError as problem:
            problems.add(problem)
        if module != OWN and options.network_pre_calc:
            what = f"It works with {OWN} only, not with {module}."
            problems.add(UsageError(where="--network_pre_calc", what=what, fix="Take --network_merge."))


def _check_control(options: ControlOptions, base: PictureBase, problems: Problems) -> None:
    models = options.control_net_lllite_models
    if models and not base.has_control:
        what = "ControlNet-LLLite is for SDXL, and this model is not."
        problems.add(UsageError(where="--control_net_lllite_models", what=what, fix="Take an SDXL model."))
    for path in models:
        try:
            resolve_user_path(path, "file", where="--control_net_lllite_models")
        except UserError as problem:
            problems.add(problem)
    rows = (
        ("control_net_multipliers", options.control_net_multipliers),
        ("control_net_ratios", options.control_net_ratios),
    )
    for name, given in rows:
        if len(given) > len(models) > 0:
            what = f"There are {len(given)} for {len(models)} control networks."
            problems.add(UsageError(where=f"--{name}", what=what, fix="Give one for each model."))
