"""What a form asks: one field for every option, made from its declaration.

Options that say where a job lives, or that end before training, are no part of a form; secrets are not either, because
a job's spec holds none: they come from the environment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from ..commands import COMMANDS
from ..options.config import ConfigOptions
from ..options.contents import CONCEPTS, DATASET, PROMPTS
from ..options.convert import as_file_value, element_type, takes_list, takes_no_value
from ..options.job import JobOptions
from ..options.parse import options_by_name
from ..options.reference import first_line, value_text
from ..options.spec import Option

TEXT, NUMBER, INTEGER, FLAG, CHOICE, LIST, PATH = "text", "number", "integer", "flag", "choice", "list", "path"
PROMPT, DATASET_KIND, CONCEPT_KIND = "prompt", "dataset", "concept"
NOT_IN_FORMS = ("debug_dataset",)
CONTENTS = {PROMPTS: PROMPT, DATASET: DATASET_KIND, CONCEPTS: CONCEPT_KIND}


@dataclass(frozen=True)
class Field:
    """One question of a form.

    Args:
        name: kohya's name of the option; a name of its own for a question of the simple view.
        group: heading it stands under.
        label, help: words for people, in English.
        kind: "text", "number", "integer", "flag" (check box), "choice", "list" (several lines, one value each), "path",
            "prompt" (several lines: prompts, or the path of a prompt file), "dataset" (several lines: a dataset in
            TOML, or the path of a dataset file) or "concept" (the same for what LECO changes).
        choices: of a "choice"; the first is empty where nothing has to be chosen.
        suggestions: offered for a "text"; others are accepted too.
        minimum, maximum: inclusive limits.
        default: as JSON.
        level: "basic", "advanced" or "expert".
        path: "file", "folder" or "file or folder".
        written: what a value looks like, for a placeholder.
        no_effect: why it changes nothing, where that is so.
        commands: that have it.
    """

    name: str
    group: str
    label: str
    help: str
    kind: str
    choices: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    default: Any = None
    level: str = "advanced"
    path: str = ""
    written: str = ""
    no_effect: str = ""
    commands: tuple[str, ...] = ()


def form_options(command: str) -> dict[str, Option]:
    """The options of a command that a form asks for, by name and in order."""
    declared = options_by_name(COMMANDS[command].groups)
    return {name: option for name, option in declared.items() if _is_asked(option)}


@cache
def fields(command: str) -> tuple[Field, ...]:
    """The fields of a command's form, in the order of its groups."""
    return tuple(_field(option) for option in form_options(command).values())


def kind_of(option: Option) -> str:
    """Which kind of field asks for an option."""
    if option.name in CONTENTS:
        return CONTENTS[option.name]
    if takes_no_value(option):
        return FLAG
    if takes_list(option):
        return LIST
    if option.text.choices:
        return CHOICE
    if option.text.path:
        return PATH
    if option.text.parse is None and element_type(option) is not str:
        return INTEGER if element_type(option) is int else NUMBER
    return TEXT


def _is_asked(option: Option) -> bool:
    return (
        option.group not in (ConfigOptions, JobOptions) and option.name not in NOT_IN_FORMS and not option.text.secret
    )


def _field(option: Option) -> Field:
    text, kind = option.text, kind_of(option)
    choices = tuple(map(str, text.choices)) if kind == CHOICE else ()
    return Field(
        name=option.name,
        group=first_line(option.group),
        label=text.label,
        help=text.help,
        kind=kind,
        choices=("", *choices) if choices and option.default is None else choices,
        suggestions=text.suggestions,
        minimum=text.minimum,
        maximum=text.maximum,
        default=as_file_value(option, option.default),
        level=text.level,
        path=text.path,
        written="" if kind == FLAG else value_text(option),
        no_effect=text.no_effect,
        commands=tuple(name for name in COMMANDS if option.name in options_by_name(COMMANDS[name].groups)),
    )
