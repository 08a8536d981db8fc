"""Presets: settings under a name, ours and the user's, one TOML file each.

A file has a `[tanren]` table that says what it is (schema, command, name, description, audience, requires, repeats)
and an `[options]` table with what differs from the defaults. A preset says how to train, not what: folders, names and
states are no part of one, unless it brings the embedded model and its pictures along (`example`). Unknown keys are
errors; a file that cannot be read stays in the list with its reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..commands import COMMANDS
from ..commands import PICTURES as READS_PICTURES
from ..disk import storage_error
from ..errors import UsageError, UserError
from ..files import write_text
from ..formats.nearest import nearest
from ..formats.toml_file import TomlFile, open_toml, write_nested
from ..options.contents import CONCEPTS
from ..options.hub import HubOptions
from ..options.spec import options_of
from ..paths import asset, check_created_name, name_key
from . import concept_questions as concept
from . import control_questions as control
from .fields import form_options
from .simple_view import fill_form
from .values import as_json, option_value

SCHEMA = 1
BUILT_IN, OWN = "built-in", "user"
SUFFIX = ".toml"
TEXTS = ("name", "description", "audience", "requires")
KEYS = ("schema", "command", "repeats", "example", "order", *TEXTS)
EXAMPLES = {"micro-sd": "micro-sd.safetensors", "micro-sdxl": "micro-sdxl.safetensors"}
# What is trained, and where it goes, changes from run to run.
PERSONAL = frozenset(
    (
        *("pretrained_model_name_or_path", "vae", "dataset_config", "train_data_dir", "reg_data_dir", "in_json"),
        *("conditioning_data_dir", "output_dir", "output_name", "logging_dir", "console_log_file"),
        *("resume", "initial_epoch", "initial_step", "skip_until_initial_step", "allow_changes", "network_weights"),
        *("metadata_title", "metadata_trigger_phrase", "sample_prompts", "caption_prefix", "training_comment"),
        *(option.name for option in options_of(HubOptions) if not option.text.secret),
    )
)
PICTURES = frozenset(("dataset_config", "train_data_dir", "in_json"))
# What a training learns from; a file that names none of it leaves the form's.
SUBJECTS = PICTURES | {CONCEPTS, control.CONTROLS}


@dataclass(frozen=True)
class Preset:
    """Settings under a name.

    Args:
        id: "built-in/character-8gb" or "user/my settings".
        name: for people; translated where it is ours.
        description, audience, requires: what it does, who it is for, what it needs, in a sentence each.
        command: it is for.
        options: as JSON, those that differ from the default.
        repeats: of the simple view, where the preset has an opinion.
        problem: why it cannot be used.
    """

    id: str
    name: str
    description: str = ""
    audience: str = ""
    requires: str = ""
    command: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    repeats: int | None = None
    order: int = 0
    problem: UserError | None = None

    @property
    def is_own(self) -> bool:
        """True when the user made it and may delete it."""
        return self.id.startswith(f"{OWN}/")


@dataclass(frozen=True)
class Change:
    """An option that differs from a preset; None stands for the default."""

    name: str
    before: Any
    after: Any


def presets(data_dir: Path, command: str | None = None) -> list[Preset]:
    """All presets, ours first; broken ones at the end of the user's.

    Args:
        data_dir: the user's lie in its `presets` folder.
        command: only those for this command, and broken ones.
    """
    files = sorted(asset("presets").glob(f"*{SUFFIX}"))
    ours = [preset for preset in (_read(path, BUILT_IN) for path in files) if _has_its_model(preset)]
    own = [_read(path, OWN) for path in _own_files(data_dir)]
    ours.sort(key=lambda preset: preset.order)
    own.sort(key=lambda preset: (preset.problem is not None, name_key(preset.name)))
    return [preset for preset in (*ours, *own) if command is None or preset.problem or preset.command == command]


def find(data_dir: Path, preset_id: str) -> Preset:
    """A preset that can be used.

    Raises:
        UserError: there is none of this id, or it cannot be read.
    """
    for preset in presets(data_dir):
        if preset.id == preset_id:
            if preset.problem:
                raise preset.problem
            return preset
    raise UsageError(where="preset", what=f"There is no preset {preset_id!r}.", fix="Choose one of the list.")


def save(
    data_dir: Path,
    name: str,
    command: str,
    options: Mapping[str, Any],
    *,
    description: str = "",
    repeats: int | None = None,
    replace: bool = False,
) -> Preset:
    """Keep settings under a name, durably.

    Args:
        data_dir: the file goes to its `presets` folder.
        name: of the preset and, with the suffix, of the file.
        command: the settings are for.
        options: as JSON; what belongs to one run only is left out.
        description: one sentence.
        repeats: of the simple view.
        replace: overwrite a preset of the same name.

    Raises:
        UsageError: no name for a file, or there is one already.
        StorageError: it cannot be written.
    """
    name = check_created_name(name.strip(), where="--preset_name")
    check_created_name(f"{name}{SUFFIX}", where="--preset_name")
    folder = _folder(data_dir)
    same = [path for path in _own_files(data_dir) if name_key(path.stem) == name_key(name)]
    if same and not replace:
        what = f"There is a preset {same[0].stem!r} already."
        raise UsageError(where="--preset_name", what=what, fix="Choose another name, or replace it.")
    head = {"schema": SCHEMA, "command": command, "name": name, "description": description, "repeats": repeats}
    kept = {key: value for key, value in options.items() if key not in PERSONAL and key in form_options(command)}
    taught = concept.how(kept.pop(CONCEPTS, None))
    kept |= {CONCEPTS: taught} if taught else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    target = same[0] if same else folder / f"{name}{SUFFIX}"
    write_text(target, write_nested({"tanren": head, "options": kept}))
    return _read(target, OWN)


def delete(data_dir: Path, preset_id: str) -> None:
    """Move one of the user's presets to the trash of the data folder.

    Raises:
        UsageError: it is one of ours, or not there.
        StorageError: it cannot be moved.
    """
    path = next((path for path in _own_files(data_dir) if _id_of(path, OWN) == preset_id), None)
    if path is None:
        what = f"{preset_id!r} is not one of your presets."
        raise UsageError(where="preset", what=what, fix="Only your own presets can be deleted.")
    trash = data_dir / "trash" / "presets"
    try:
        trash.mkdir(parents=True, exist_ok=True)
        path.replace(trash / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}{SUFFIX}")
    except OSError as error:
        raise storage_error(path, error) from error


def applied(preset: Preset, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a form after choosing a preset: what is trained stays, how it is trained is the preset's.

    The example's model, pictures and concept go with the preset that brought them, and never take the place of own.
    """
    examples = [ours.options for ours in presets(asset("presets")) if not ours.is_own]
    kept = {
        name: value
        for name, value in options.items()
        if name in PERSONAL and all(value != example.get(name) for example in examples)
    }
    brought = dict(preset.options)
    mine = options.get(CONCEPTS)
    subject = concept.what(mine)
    if subject and any(subject == concept.what(example.get(CONCEPTS)) for example in examples):
        mine = concept.how(mine)
    if mine or brought.get(CONCEPTS):
        brought[CONCEPTS] = concept.taught_like(mine, brought.get(CONCEPTS))
    if PICTURES & set(kept):
        brought.pop("train_data_dir", None)
        brought.pop(control.CONTROLS, None)
    return kept | brought


def raw_of(preset: Preset, options: Mapping[str, Any]) -> dict[str, Any]:
    """What all fields show after choosing a preset over the options that the form holds now."""
    raw = fill_form(preset.command, applied(preset, options))
    return raw | ({"repeats": preset.repeats} if preset.repeats and raw.get("repeats", 0) is None else {})


def changes(command: str, options: Mapping[str, Any], base: Mapping[str, Any]) -> list[Change]:
    """What differs from a preset, in the order of the form; what a preset never holds does not count.

    The prompt file of LECO is compared by `concept_questions.changed_questions`.

    Args:
        command: both are for.
        options: as they are now.
        base: the preset's.
    """
    return [
        Change(name, base.get(name), options.get(name))
        for name in form_options(command)
        if name != CONCEPTS and name not in (PERSONAL - set(base)) and base.get(name) != options.get(name)
    ]


def _example(file: str, command: str) -> dict[str, Any]:
    """An embedded model, and what is learned: pairs, or pictures of a shape that it does not know, or a concept."""
    model = {"pretrained_model_name_or_path": str(asset("micro", file))}
    if control.learns_from_pairs(command):
        pairs = {control.PICTURES: "pictures", control.CONTROLS: "controls"}
        return model | {option: str(asset("micro", "pairs", folder)) for option, folder in pairs.items()}
    if COMMANDS[command].reads == READS_PICTURES:
        return model | {"train_data_dir": str(asset("micro", "pictures"))}
    return model


def _has_its_model(preset: Preset) -> bool:
    """False for the example of a model that this copy of the package came without."""
    model = preset.options.get("pretrained_model_name_or_path")
    return model is None or Path(model).is_file()


def _folder(data_dir: Path) -> Path:
    return data_dir / "presets"


def _own_files(data_dir: Path) -> list[Path]:
    try:
        return sorted(path for path in _folder(data_dir).iterdir() if path.suffix.lower() == SUFFIX and path.is_file())
    except OSError:
        # There is no such folder before the first preset; one that cannot be read offers none.
        return []


def _id_of(path: Path, origin: str) -> str:
    return f"{origin}/{path.stem}"


def _read(path: Path, origin: str) -> Preset:
    try:
        facts = path.stat()
    except OSError as error:
        return Preset(id=_id_of(path, origin), name=path.stem, problem=storage_error(path, error))
    return _read_once(path, origin, facts.st_mtime_ns, facts.st_size)


# Every check of the form asks for the chosen preset; reading all of them takes 60 ms on a busy machine.
@lru_cache(maxsize=512)
def _read_once(path: Path, origin: str, changed: int, size: int) -> Preset:
    preset_id = _id_of(path, origin)
    try:
        return _checked(open_toml(path), preset_id)
    except UserError as problem:
        return Preset(id=preset_id, name=path.stem, problem=problem)


def _checked(file: TomlFile, preset_id: str) -> Preset:
    _refuse_unknown(file, (), file.data, ("tanren", "options"))
    head, given = (_table(file, name) for name in ("tanren", "options"))
    _refuse_unknown(file, ("tanren",), head, KEYS)
    schema, command = head.get("schema"), head.get("command")
    if isinstance(schema, int) and schema > SCHEMA:
        what = f"The preset was written by a newer version (format {schema}; this one reads {SCHEMA})."
        raise UsageError(where=file.where("tanren", "schema"), what=what, fix="Update.")
    if schema != SCHEMA:
        raise UsageError(where=file.where("tanren"), what="This is no preset.", fix=f"Add schema = {SCHEMA}.")
    if command not in COMMANDS:
        where = file.where("tanren", "command")
        raise UsageError(where=where, what=f"There is no command {command!r}.", fix=f"Known: {', '.join(COMMANDS)}.")
    for name in (*TEXTS, "example"):
        if not isinstance(head.get(name, ""), str):
            raise UsageError(where=file.where("tanren", name), what=f"{head[name]!r} is not text.")
    for name in ("repeats", "order"):
        if not isinstance(head.get(name, 1), int) or head.get(name, 1) < 1:
            raise UsageError(where=file.where("tanren", name), what=f"{head[name]!r} is not a number from 1.")
    options = _options(file, command, given)
    if head.get("example") in EXAMPLES:
        options |= _example(EXAMPLES[head["example"]], command)
    texts = {name: head.get(name, "") for name in TEXTS}
    texts["name"] = texts["name"] or preset_id.partition("/")[2]
    return Preset(
        id=preset_id,
        command=command,
        options=options,
        repeats=head.get("repeats"),
        order=head.get("order", 0),
        **texts,
    )


def _options(file: TomlFile, command: str, given: Mapping[str, Any]) -> dict[str, Any]:
    declared = form_options(command)
    _refuse_unknown(file, ("options",), given, tuple(declared))
    options = {}
    for name, value in given.items():
        try:
            read = option_value(declared[name], value, "")
        except UsageError as problem:
            problem.where = f"{file.where('options', name)} ({name})"
            raise
        if read is not None and read != as_json(declared[name].default):
            options[name] = read
    return options


def _table(file: TomlFile, name: str) -> Mapping[str, Any]:
    table = file.data.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(where=file.where(name), what=f"{name} is not a table.", fix=f"Write [{name}].")
    return table


def _refuse_unknown(file: TomlFile, place: tuple[str, ...], table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            close = nearest(key, known)
            fix = f"Did you mean {close}?" if close else f"Known: {', '.join(known[:8])} …" if len(known) < 20 else ""
            raise UsageError(where=file.where(*place, key), what=f"There is no {key!r} in a preset.", fix=fix)
