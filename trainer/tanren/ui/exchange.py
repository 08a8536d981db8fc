"""Settings out to sd-scripts' files and in again: --config_file, dataset file, LECO prompts, kohya_ss' GUI, presets.

What a file is for is found in it: the command it names, its base model, or options that only one command has.

Texts come from uploads: they are limited in size, and what is wrong with them is told with the file's name and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError, UserError
from ..formats.json_file import parse_json
from ..formats.leco_prompts import is_prompt_file
from ..formats.leco_yaml import converted_leco_yaml, looks_like_yaml
from ..formats.limits import read_settings_text
from ..formats.nearest import nearest
from ..formats.toml_file import parse_toml, write_flat
from ..options.contents import CONCEPTS, DATASET, contents_of
from ..options.convert import as_file_value, from_file
from ..options.dataset_keys import ALLOWED, where_it_belongs
from .command_line import with_file_names
from .command_text import command_text, import_command_text
from .fields import form_options
from .imported import Imported, Ledger
from .kohya_gui import gui_command, import_gui, is_gui_config
from .lora_again import TITLE as LORA_FILE
from .trainings import CONCEPT, CONTROL, LORA, TRAININGS, training_of, with_goal

CONFIG_NAME, BASE_MODEL = "settings.toml", "pretrained_model_name_or_path"
WRITTEN = "Options of "
WRITTEN_FOR = re.compile(rf"^# {WRITTEN}(\w+):", re.MULTILINE)


@dataclass(frozen=True)
class Exported:
    """Files to download.

    Args:
        files: text by name; the config file first, then the dataset and prompts that the form holds itself.
    """

    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> str:
        """Text of the config file."""
        return self.files[CONFIG_NAME]


def exported(command: str, options: Mapping[str, Any]) -> Exported:
    """The options as files that sd-scripts and this program read."""
    contents = contents_of(options)
    declared = form_options(command)
    named = with_file_names(options)
    values = {
        name: as_file_value(option, from_file(option, named[name], name))
        for name, option in declared.items()
        if name in named
    }
    head = f"# {WRITTEN}{command}: python launch.py {command} --config_file {CONFIG_NAME}\n"
    if contents:
        head += f"# Keep {' and '.join(contents)} beside this file, and start in their folder.\n"
    return Exported({CONFIG_NAME: head + write_flat(values), **contents})


def import_upload(command: str, path: Path, name: str) -> Imported:
    """Import an uploaded file of any known kind.

    Args:
        command: the form is for.
        path: where the upload lies.
        name: as the user's browser calls it.

    Raises:
        UserError: it cannot be read at all: too large, not text, a syntax error (with its line), of no known kind.
    """
    try:
        text = read_settings_text(path)
    except UserError as problem:
        problem.where = problem.where.replace(str(path), name)
        raise
    return import_text(command, text, name)


def import_text(
    command: str, text: str, name: str, command_of_base: Callable[[str], str | None] = lambda path: None
) -> Imported:
    """Import the text of a file of any known kind, or a command line; raises like `import_upload`.

    Args:
        command: the form is for; the file may be for another one, which `Imported.command` names then.
        text: of the file.
        name: of the file.
        command_of_base: the command that trains a base model, where that is known.
    """
    line = command_text(text)
    if line is not None and training_of(line.command) is None:
        what = f"This form does not have the training of {line.command}."
        raise UsageError(where=name, what=what, fix="Run it at the shell: python launch.py and the rest of the line.")
    if line is not None:
        return import_command_text(line)
    if looks_like_yaml(text):
        return import_concept_list(with_goal(command, CONCEPT), text, name)
    is_json = name.lower().endswith(".json") or text.lstrip().startswith("{")
    data = parse_json(text, name) if is_json else parse_toml(text, name)
    if not isinstance(data, dict):
        raise UsageError(where=name, what="These are no settings: a table of names and values was expected.")
    if "datasets" in data:
        here = training_of(command)
        return import_dataset(command if here and here.goal == CONTROL else with_goal(command, LORA), data, name)
    if not is_json and is_prompt_file(data):
        return import_concept(with_goal(command, CONCEPT), data)
    if is_json and not isinstance(data.get("tanren"), dict):
        if not is_gui_config(data):
            what = "This is neither a LoRA configuration of kohya_ss' GUI nor a dataset file."
            if "pretrained_model_name_or_path" in data:
                what = "This is a configuration of kohya_ss' GUI, but not one for a LoRA."
            raise UsageError(where=name, what=what, fix="Choose a .json that was saved in the GUI's LoRA tab.")
        fallback = with_goal(command, LORA)
        return import_gui(gui_command(data) or command_of_base(str(data.get(BASE_MODEL, ""))) or fallback, data)
    return import_config(_command_of(data, text, command, command_of_base) or command, data)


def _command_of(
    data: Mapping[str, Any], text: str, command: str, command_of_base: Callable[[str], str | None]
) -> str | None:
    """The command that a config file or preset is for; None where nothing in it says so."""
    head, flat = data.get("tanren"), _flattened(data)
    said = head.get("command") if isinstance(head, dict) else None
    written = WRITTEN_FOR.search(text)
    for named in (said, written[1] if written else None):
        if isinstance(named, str) and training_of(named):
            return named
    known = [(training, set(form_options(training.command))) for training in TRAININGS]
    in_some = set(flat) & set().union(*(names for _, names in known))
    fitting = [training for training, names in known if in_some <= names]
    goals, here = [training.goal for training in fitting] or [LORA], training_of(command)
    goal = here.goal if here and here.goal in goals else goals[0]
    of_base = command_of_base(str(flat.get(BASE_MODEL, "")))
    if of_base:
        return with_goal(of_base, goal)
    commands = [training.command for training in fitting if training.goal == goal]
    # What every command has says nothing of the base model; the form's stays.
    return commands[0] if len(commands) == 1 else with_goal(command, goal)


def import_concept(command: str, data: Mapping[str, Any]) -> Imported:
    """What a LECO prompt file changes; its mistakes are told by the check of the form, with the place."""
    ledger = Ledger(command, "LECO prompt file")
    ledger.result.is_subject = True
    ledger.take(CONCEPTS, dict(data))
    ledger.result.taken = list(data)
    return ledger.result


def import_concept_list(command: str, text: str, name: str) -> Imported:
    """A prompt list of another LECO trainer, converted; what has no counterpart is in the report.

    Raises:
        UserError: it is no such list, or nothing here reads YAML.
    """
    converted = converted_leco_yaml(text, name)
    ledger = Ledger(command, "LECO prompts of another trainer (YAML)")
    ledger.result.is_subject = True
    ledger.take(CONCEPTS, converted.data)
    ledger.result.taken = [f"{key}[{place}]" for key in converted.data for place in range(len(converted.data[key]))]
    for place in converted.left_out:
        ledger.leave(place, "", "It has no counterpart.")
    return ledger.result


def import_config(command: str, data: Mapping[str, Any]) -> Imported:
    """Options by name, in any sections, as --config_file and presets have them."""
    is_preset = isinstance(data.get("tanren"), dict) and isinstance(data.get("options"), dict)
    ledger = Ledger(command, "Preset" if is_preset else "Config file of sd-scripts")
    if is_preset and data["tanren"].get("title") == LORA_FILE:
        _take_remarks(ledger, data["tanren"])
    for key, value in (data["options"] if is_preset else _flattened(data)).items():
        if key not in ledger.declared:
            ledger.leave_unknown(key, value)
        elif value is not None:
            ledger.take(key, value)
    return ledger.result


def _take_remarks(ledger: Ledger, head: Mapping[str, Any]) -> None:
    """What was said about a LoRA file when its settings were read (`lora_again.py`)."""
    ledger.result.title = LORA_FILE
    notes, left = head.get("notes"), head.get("not_taken")
    ledger.result.notes = [str(note) for note in notes] if isinstance(notes, list) else []
    for row in left if isinstance(left, list) else []:
        if isinstance(row, list) and len(row) == 3:
            ledger.leave(*map(str, row))


def import_dataset(command: str, data: Mapping[str, Any], name: str) -> Imported:
    """The pictures of a dataset file; keys that nobody reads are left out with their reason.

    Raises:
        UsageError: there are no datasets in it.
    """
    ledger = Ledger(command, "Dataset file")
    ledger.result.is_subject = True
    general = data.get("general")
    datasets = data["datasets"]
    if not isinstance(datasets, list) or not all(isinstance(dataset, dict) for dataset in datasets) or not datasets:
        raise UsageError(where=name, what="There are no datasets in it.", fix="Write [[datasets]] with two brackets.")
    tables: dict[str, Any] = {}
    for key in data:
        if key not in ("general", "datasets"):
            ledger.leave(key, data[key], "Only [general] and [[datasets]] stand at the top of a dataset file.")
    if isinstance(general, dict):
        tables["general"] = _known_keys(general, "general", "general", ledger)
    tables["datasets"] = [_dataset(dataset, f"datasets[{n}]", ledger) for n, dataset in enumerate(datasets)]
    ledger.take(DATASET, tables)
    ledger.result.taken = ["general"] * ("general" in tables) + [f"datasets[{n}]" for n in range(len(datasets))]
    return ledger.result


def _dataset(dataset: Mapping[str, Any], place: str, ledger: Ledger) -> dict[str, Any]:
    subsets = dataset.get("subsets")
    own = _known_keys({k: v for k, v in dataset.items() if k != "subsets"}, "datasets", place, ledger)
    if not isinstance(subsets, list):
        # What is wrong with it is told by the check of the form, with the place.
        return own if subsets is None else {**own, "subsets": subsets}
    read = [
        _known_keys(subset, "subsets", f"{place}.subsets[{n}]", ledger) if isinstance(subset, dict) else subset
        for n, subset in enumerate(subsets)
    ]
    return {**own, "subsets": read}


def _known_keys(table: Mapping[str, Any], level: str, place: str, ledger: Ledger) -> dict[str, Any]:
    known = {}
    for key, value in table.items():
        if key in ALLOWED[level]:
            known[key] = value
            continue
        belongs, close = where_it_belongs(key), nearest(key, ALLOWED[level])
        why = f"Unknown; did you mean {close}?" if close else "Unknown."
        ledger.leave(f"{place}.{key}", value, f"It belongs to {belongs}." if belongs else why)
    return known


def _flattened(data: Mapping[str, Any]) -> dict[str, Any]:
    """Top-level tables opened; sections carry no meaning, and later ones win."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat.update(value if isinstance(value, dict) else {key: value})
    return flat
