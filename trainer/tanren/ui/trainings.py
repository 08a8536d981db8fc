"""The trainings the form knows: which command trains which base model to what end, and which fields it asks for.

The form holds the fields of all of them. The goal and the kind of the base model decide which training is meant; the
fields that this training does not ask for are hidden and say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any

from ..commands import COMMANDS
from ..options.spec import Refuses
from ..vram import GIB
from . import concept_questions, control_questions
from .fields import CHOICE, Field, fields, form_options
from .simple_view import OF_PAIRS, OF_PICTURES, OWN, fill_form

GOAL, BASE_KIND = "goal", "base_kind"
LORA, CONCEPT = "Learn from pictures (LoRA)", "Change a concept, without pictures (LECO)"
CONTROL = "Follow control pictures (ControlNet-LLLite)"
AS_NAMED = "as its name says"
# Questions of their own that trainings of a goal ask; the others' are hidden.
QUESTIONS = {LORA: OF_PICTURES, CONCEPT: frozenset(concept_questions.NAMES), CONTROL: OF_PAIRS}


@dataclass(frozen=True)
class Training:
    """One training.

    Args:
        command: key of COMMANDS.
        model: the kind of its base models, for people.
        presets: ids of the presets a form begins with, by the least gigabytes of the GPU; the last one serves any.
        goal: what is done with it, for people.
        named: how names of such models look; only asked where a file does not say what it is.
        apart: options that several fields of this training ask for one by one.
        without: further options that mean nothing for it.
    """

    command: str
    model: str
    presets: Mapping[int, str]
    goal: str = LORA
    named: str = ""
    apart: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    @property
    def bases(self) -> tuple[str, ...]:
        """Kinds of checkpoints, as `formats/checkpoint_kind.py` names them."""
        return COMMANDS[self.command].bases

    @property
    def hidden(self) -> frozenset[str]:
        """Names of the fields that are not asked for."""
        asked = set(form_options(self.command)) - set(self.without) - set(self.apart) - _idle(self.command)
        others = frozenset().union(*QUESTIONS.values()) - QUESTIONS[self.goal]
        return frozenset(one.name for one in all_fields() if one.name not in asked) | others

    def wording(self, field: Field) -> tuple[str, str]:
        """What a field of the form is called here, and the sentence below it."""
        if self.goal == CONTROL and field.name in control_questions.LABELS:
            return control_questions.LABELS[field.name]
        mine = next((one for one in fields(self.command) if one.name == field.name), field)
        return mine.label, mine.help

    def preset_for(self, gpu_bytes: int) -> str:
        """The preset to begin with on a GPU of this size; 0 where it is not known."""
        return next(preset for least, preset in self.presets.items() if gpu_bytes >= least * GIB or not least)


SDXL_NAMES = r"xl|pony|illustrious|noob|animagine"
# Only the U-Net learns, and a run is one epoch.
NOT_FOR_CONCEPTS = (
    *("network_train_unet_only", "network_train_text_encoder_only", "text_encoder_lr", "sample_every_n_epochs"),
    *("initial_epoch", "metadata_trigger_phrase"),
)
# GPUs give a little less than their number.
TRAININGS = (
    Training("train_network", "Stable Diffusion 1 and 2", {0: "built-in/character-8gb"}),
    Training(
        "sdxl_train_network",
        "Stable Diffusion XL (SDXL)",
        {15: "built-in/sdxl-16gb", 11: "built-in/sdxl-12gb", 0: "built-in/sdxl-8gb"},
        named=SDXL_NAMES,
        apart={"text_encoder_lr": ("text_encoder_lr1", "text_encoder_lr2")},
        without=("v2", "clip_skip"),
    ),
    Training(
        "train_leco",
        "Stable Diffusion 1 and 2",
        {0: "built-in/leco-8gb"},
        goal=CONCEPT,
        without=NOT_FOR_CONCEPTS,
    ),
    Training(
        "sdxl_train_leco",
        "Stable Diffusion XL (SDXL)",
        {15: "built-in/leco-sdxl-16gb", 11: "built-in/leco-sdxl-12gb", 0: "built-in/leco-sdxl-8gb"},
        goal=CONCEPT,
        named=SDXL_NAMES,
        without=("v2", "clip_skip", *NOT_FOR_CONCEPTS),
    ),
    Training(
        "sdxl_train_control_net_lllite",
        "Stable Diffusion XL (SDXL)",
        {
            23: "built-in/lllite-24gb",
            15: "built-in/lllite-16gb",
            11: "built-in/lllite-12gb",
            0: "built-in/lllite-8gb",
        },
        goal=CONTROL,
        named=SDXL_NAMES,
        without=(
            *("train_data_dir", "conditioning_data_dir", "network_train_unet_only"),
            *("network_train_text_encoder_only", "text_encoder_lr"),
        ),
    ),
)
GOALS = tuple(dict.fromkeys(training.goal for training in TRAININGS))
GOAL_FIELD = Field(
    name=GOAL,
    group="Simple view",
    label="What to do",
    help="",
    kind=CHOICE,
    choices=GOALS,
    default=LORA,
    level="basic",
)
# Asked only where the file of the base model does not say what it is.
KIND_FIELD = Field(
    name=BASE_KIND,
    group="Simple view",
    label="Kind of this base model",
    help="Its file does not tell before it is loaded. Choose the kind when its name misleads.",
    kind=CHOICE,
    choices=(AS_NAMED, *dict.fromkeys(training.model for training in TRAININGS)),
    default=AS_NAMED,
    level="basic",
)


def training_of(command: str) -> Training | None:
    """The training of a command; None where the form does not have it."""
    return next((training for training in TRAININGS if training.command == command), None)


def training_for(family: str, goal: str = LORA) -> Training | None:
    """The training for a kind of checkpoint."""
    return next((one for one in TRAININGS if family in one.bases and one.goal == goal), None)


def training_called(model: str, name: str, goal: str = LORA) -> Training:
    """The training for a base model whose file does not say what it is.

    Args:
        model: the choice in `KIND_FIELD`.
        name: of the model, which decides where nothing was chosen.
        goal: what is done with it.
    """
    fitting = [training for training in TRAININGS if training.goal == goal]
    chosen = next((training for training in fitting if training.model == model), None)
    by_name = (one for one in fitting if one.named and re.search(one.named, name, re.IGNORECASE))
    return chosen or next(by_name, fitting[0])


def with_goal(command: str, goal: str) -> str:
    """The command that does something else with the same kind of base model, or with the only kind it can be done."""
    known = training_of(command)
    fitting = [one for one in TRAININGS if one.goal == goal]
    alike = (one.command for one in fitting if known and one.model == known.model)
    return next(alike, fitting[0].command if fitting else command)


def _idle(command: str) -> set[str]:
    """Options that a command knows and that change nothing for what it trains, while they do for others."""
    rules = (rule for group in COMMANDS[command].groups for rule in getattr(group, "rules", ()))
    refused = {rule.option for rule in rules if isinstance(rule, Refuses)}
    return refused | {one.name for one in fields(command) if one.no_effect and not _is_idle_everywhere(one.name)}


def _is_idle_everywhere(name: str) -> bool:
    return next(bool(one.no_effect) for one in all_fields() if one.name == name)


@cache
def renamed() -> tuple[str, ...]:
    """Fields that are not called the same in all trainings."""
    found = []
    for one in (*OWN, *all_fields()):
        asking = [training for training in TRAININGS if one.name not in training.hidden]
        if len({training.wording(one) for training in asking}) > 1:
            found.append(one.name)
    return tuple(found)


@cache
def all_fields() -> tuple[Field, ...]:
    """The fields of all trainings, each behind its neighbour; those of `Training.apart` behind what they stand for."""
    found: list[Field] = []
    for training in TRAININGS:
        beside = {
            name: before for option, names in training.apart.items() for before, name in pairwise((option, *names))
        }
        neighbour = ""
        for one in fields(training.command):
            if all(one.name != known.name for known in found):
                place = _place(found, beside.get(one.name, neighbour))
                group = found[place - 1].group if one.name in beside else one.group
                found.insert(place, replace(one, group=group))
            neighbour = one.name
    return tuple(found)


def usual_values() -> dict[str, Any]:
    """What all fields hold when nobody did anything."""
    raw: dict[str, Any] = {GOAL: LORA, BASE_KIND: AS_NAMED}
    for training in reversed(TRAININGS):
        raw |= fill_form(training.command, {})
    return raw


def _place(found: Iterable[Field], before: str) -> int:
    """Where the neighbour of a field ends."""
    return next((place for place, one in enumerate(found, 1) if one.name == before), 0)


def apart(training: Training, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the fields of a training ask for them: a list of rates becomes one field each."""
    result = dict(options)
    for option, names in training.apart.items():
        values = result.pop(option, None)
        for place, name in enumerate(names if values else ()):
            result.setdefault(name, values[min(place, len(values) - 1)])
    return result


def carried(raw: Mapping[str, Any], before: Training, after: Training) -> dict[str, Any]:
    """What the fields of another training take over from the fields that ask for the same."""
    taken: dict[str, Any] = {}
    for option, names in after.apart.items():
        if before.apart.get(option) != names and not any(raw.get(name) for name in names):
            values = str(raw.get(option) or "").replace(",", " ").split()
            taken |= {name: values[min(place, len(values) - 1)] for place, name in enumerate(names) if values}
    for option, names in before.apart.items():
        if after.apart.get(option) != names and not raw.get(option):
            taken |= {option: raw[names[0]]} if raw.get(names[0]) else {}
    return taken
