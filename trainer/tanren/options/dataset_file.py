"""What pictures a run trains on: a dataset file, folders named `<repeats>_<name>`, a metadata file, or two folders of
pictures and their control pictures.

A dataset file is TOML or JSON, by its suffix: an optional `[general]`, `[[datasets]]`, and in each of them
`[[datasets.subsets]]`. A subset's value comes from the subset, its dataset, `[general]`, the command line or the
default, in this order. Unknown keys and wrong types are refused with their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Problems, UsageError, UserError
from ..formats.json_file import read_json
from ..formats.nearest import nearest
from ..formats.toml_file import TomlFile, open_toml
from ..paths import ANYWHERE, PathPolicy, resolve_user_path
from .convert import from_file
from .dataset import DatasetOptions
from .dataset_folders import check_holds_pictures, folder_subsets
from .dataset_keys import ALLOWED, key_options, where_it_belongs
from .dataset_plan import CONTROLLED, METADATA, DatasetPlan, SubsetPlan
from .dataset_resolve import COMMAND_LINE, Table, dataset_plan, subset_defaults
from .spec import Settings

MAIN_KEYS = ("general", "datasets")
REPLACED = ("train_data_dir", "reg_data_dir", "in_json")
CONTROL_FOLDERS = ("train_data_dir", "conditioning_data_dir")


def dataset_plans(settings: Settings, problems: Problems, policy: PathPolicy = ANYWHERE) -> tuple[DatasetPlan, ...]:
    """The datasets of a run; what is wrong with them goes to `problems`, and the rest is returned.

    Args:
        settings: of the run.
        problems: the list.
        policy: where their folders and files may lie.
    """
    options = settings[DatasetOptions]
    if options.dataset_config is not None:
        replaced = CONTROL_FOLDERS if options.reads_controls else REPLACED
        unused = [f"--{name}" for name in replaced if getattr(options, name)]
        if unused:
            problems.warn(f"--dataset_config replaces {' and '.join(unused)}.")
        return _plans_of_file(options, problems, policy)
    read = _control_subset if options.reads_controls else _metadata_subset if options.in_json else folder_subsets
    subsets = read(options, problems, policy)
    if not subsets:
        return ()
    plan = dataset_plan(COMMAND_LINE, (), options, problems, subsets=tuple(subsets))
    return (plan,) if plan else ()


def _metadata_subset(options: DatasetOptions, problems: Problems, policy: PathPolicy) -> list[SubsetPlan]:
    try:
        file = resolve_user_path(options.in_json or "", "file", where="--in_json", policy=policy)
        folder = options.train_data_dir
        image_dir = resolve_user_path(folder, "folder", where="--train_data_dir", policy=policy) if folder else None
    except UserError as problem:
        problems.add(problem)
        return []
    defaults = subset_defaults(options)
    return [
        SubsetPlan(
            kind=METADATA,
            image_dir=str(image_dir) if image_dir else None,
            metadata_file=str(file),
            where=str(file),
            num_repeats=options.dataset_repeats,
            **defaults,
        )
    ]


def _control_subset(options: DatasetOptions, problems: Problems, policy: PathPolicy) -> list[SubsetPlan]:
    """The folder of pictures and that of their control pictures, as the command line names them."""
    folders = {}
    for name in CONTROL_FOLDERS:
        text, where = getattr(options, name), f"--{name}"
        if not text:
            what = f"The folder of {'pictures' if name == 'train_data_dir' else 'control pictures'} was not named."
            problems.add(UsageError(where=where, what=what, fix=f"Add {where}=FOLDER, or --dataset_config=FILE."))
            continue
        try:
            folders[name] = resolve_user_path(text, "folder", where=where, policy=policy)
            check_holds_pictures(name, folders[name])
        except UserError as problem:
            problems.add(problem)
            folders.pop(name, None)
    if len(folders) < len(CONTROL_FOLDERS):
        return []
    pictures, controls = (str(folders[name]) for name in CONTROL_FOLDERS)
    return [
        SubsetPlan(
            kind=CONTROLLED,
            image_dir=pictures,
            conditioning_data_dir=controls,
            where=pictures,
            num_repeats=options.dataset_repeats,
            **subset_defaults(options),
        )
    ]


def _plans_of_file(options: DatasetOptions, problems: Problems, policy: PathPolicy) -> tuple[DatasetPlan, ...]:
    try:
        path = resolve_user_path(options.dataset_config or "", "file", where="--dataset_config", policy=policy)
        file = _open(path)
    except UserError as problem:
        problems.add(problem)
        return ()
    reader = _Reader(file, problems)
    data = reader.data()
    general = reader.table(data.get("general", {}), ("general",), "general")
    plans = []
    for index, dataset in enumerate(reader.tables(data.get("datasets"), ("datasets",))):
        place: Place = ("datasets", index)
        listed = reader.tables(dataset.get("subsets"), (*place, "subsets"))
        values = reader.table({key: value for key, value in dataset.items() if key != "subsets"}, place, "datasets")
        subsets = [reader.table(subset, (*place, "subsets", number), "subsets") for number, subset in enumerate(listed)]
        merged = values.over(general)
        plan = dataset_plan(merged, tuple(subsets), options, problems, policy=policy) if subsets else None
        if plan is not None:
            plans.append(plan)
    return tuple(plans)


Place = tuple[str | int, ...]


@dataclass(frozen=True)
class _File:
    path: Path
    data: Any
    toml: TomlFile | None

    def where(self, place: Place) -> str:
        head = self.toml.where(*place) if self.toml and place else str(self.path)
        return f"{head} {place_text(place)}".strip()


def _open(path: Path) -> _File:
    if path.suffix.lower() == ".toml":
        toml = open_toml(path)
        return _File(path, toml.data, toml)
    if path.suffix.lower() == ".json":
        return _File(path, read_json(path), None)
    raise UsageError(where=f"--dataset_config {path}", what="A dataset file ends in .toml or .json.")


def place_text(place: Place) -> str:
    """`datasets[0].subsets[1].key` for ("datasets", 0, "subsets", 1, "key")."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


class _Reader:
    """Takes tables out of a dataset file and says what is wrong with their keys and values."""

    def __init__(self, file: _File, problems: Problems) -> None:
        self._file, self._problems = file, problems
        self._options = key_options()

    def data(self) -> Mapping[str, Any]:
        """The whole file, with its main keys checked."""
        data = self._file.data
        if not isinstance(data, dict):
            self._complain((), "A table with `datasets` was expected.", "")
            return {}
        for key in data:
            if key not in MAIN_KEYS:
                belongs = where_it_belongs(key)
                fix = f"Did you mean {close}?" if (close := nearest(key, MAIN_KEYS)) else ""
                if belongs:
                    fix = (
                        f"It belongs on {belongs}." if belongs == "the command line" else f"It belongs into {belongs}."
                    )
                self._complain((key,), "Only [general] and [[datasets]] stand at the top of the file.", fix)
        if not data.get("datasets"):
            self._complain((), "There are no datasets in it.", "Add [[datasets]] with [[datasets.subsets]].")
        return data

    def tables(self, value: Any, place: Place) -> list[dict[str, Any]]:
        """A list of tables, or an empty list after a complaint."""
        if isinstance(value, list) and all(isinstance(part, dict) for part in value) and value:
            return value
        if value:
            header = ".".join(part for part in place if isinstance(part, str))
            self._complain(place, "A list of tables was expected.", f"Write [[{header}]] with two brackets.")
        elif place[-1] == "subsets":
            self._complain(place[:-1], "The dataset has no subsets.", "Add [[datasets.subsets]] with an image_dir.")
        return []

    def table(self, value: Any, place: Place, level: str) -> Table:
        """The values of one table, converted; keys that may not stand there are left out after a complaint."""
        where = self._file.where(place)
        values: dict[str, Any] = {}
        broken: set[str] = set()
        if not isinstance(value, dict):
            self._complain(place, "A table was expected.", "")
            value = {}
        for key, raw in value.items():
            if raw is None:
                continue
            if key not in ALLOWED[level]:
                self._unknown(key, (*place, key), level)
                continue
            try:
                values[key] = self._convert(key, raw, self._file.where((*place, key)))
            except UsageError as problem:
                self._problems.add(problem)
                broken.add(key)
        return Table(values, where, lambda key: self._file.where((*place, key)), frozenset(broken))

    def _convert(self, key: str, raw: Any, where: str) -> Any:
        if key != "custom_attributes":
            return from_file(self._options[key], raw, where)
        if not isinstance(raw, dict):
            raise UsageError(
                where=where, what=f"{raw!r} is not a table.", fix="Write custom_attributes = { key = value }."
            )
        return raw

    def _unknown(self, key: str, place: Place, level: str) -> None:
        belongs = where_it_belongs(key)
        close = nearest(key, ALLOWED[level])
        if belongs == "the command line":
            self._complain(place, "This is set on the command line only.", f"Write --{key} there.")
        elif belongs:
            self._complain(place, f"This key belongs into {belongs}.", "")
        else:
            self._complain(place, "There is no such key.", f"Did you mean {close}?" if close else "")

    def _complain(self, place: Place, what: str, fix: str) -> None:
        self._problems.add(UsageError(where=self._file.where(place), what=what, fix=fix))
