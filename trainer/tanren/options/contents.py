"""Options that may hold the content of a file instead of its path, and what a job keeps beside its spec.

A trainer reads a dataset and sample prompts from files. A form and a preset hold them in place of the path:
`dataset_config` as the tables of a dataset file, `sample_prompts` as a list of lines. Before anything runs they are
written out. A job gets copies of the files that it names too, so that what was frozen stays as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import write_text
from ..formats.limits import read_settings_text
from ..formats.toml_file import write_nested
from ..paths import resolve_user_path
from .convert import takes_list
from .parse import options_by_name
from .spec import Option

DATASET, PROMPTS, OUTPUT = "dataset_config", "sample_prompts", "output_dir"
DATASET_FILE, PROMPTS_FILE, OUTPUT_FOLDER = "dataset.toml", "prompts.txt", "output"
SUFFIXES = {DATASET: (".toml", ".json"), PROMPTS: (".txt", ".toml", ".json")}


def contents_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Text of every file that the options hold themselves, by the name that the file gets."""
    texts = {}
    if isinstance(options.get(DATASET), Mapping):
        texts[DATASET_FILE] = write_nested(options[DATASET])
    if isinstance(options.get(PROMPTS), (list, tuple)):
        texts[PROMPTS_FILE] = "".join(f"{line}\n" for line in options[PROMPTS])
    return texts


def with_files(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options as a trainer reads them: contents are written into `folder` and their paths stand in their place.

    Args:
        options: as JSON; not changed.
        folder: must exist.

    Raises:
        StorageError: the folder cannot be written.
    """
    texts = contents_of(options)
    for name, text in texts.items():
        write_text(folder / name, text)
    given = dict(options)
    for option, name in ((DATASET, DATASET_FILE), (PROMPTS, PROMPTS_FILE)):
        if name in texts:
            given[option] = str(folder / name)
    return given


def prepare_job_files(groups: Sequence[type], options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options of a job's spec, which needs nothing but its own folder to mean the same tomorrow.

    Contents are written into the folder, dataset and prompt files are copied there, paths become absolute, and results
    go to `output` in the folder unless another one is named.

    Args:
        groups: of the command.
        options: as JSON; not changed.
        folder: of the job; must exist.

    Raises:
        StorageError: the folder cannot be written.
    """
    given = with_files(options, folder)
    for name, suffixes in SUFFIXES.items():
        if isinstance(given.get(name), str):
            given[name] = _copied(given[name], name, suffixes, folder)
    declared = options_by_name(groups)
    for name, value in given.items():
        if name in declared and declared[name].text.path:
            given[name] = _absolute(declared[name], value)
    given.setdefault(OUTPUT, str(folder.absolute() / OUTPUT_FOLDER))
    return given


def _copied(text: str, name: str, suffixes: Sequence[str], folder: Path) -> str:
    """Path of the copy; the path itself where there is nothing that could be copied, which the checks tell."""
    try:
        path = resolve_user_path(text, "file")
        if path.parent == folder.resolve() or path.suffix.lower() not in suffixes:
            return text
        content = read_settings_text(path)
    except UserError:
        return text
    stem = Path(DATASET_FILE if name == DATASET else PROMPTS_FILE).stem
    return str(write_text(folder / f"{stem}{path.suffix.lower()}", content))


def _absolute(option: Option, value: Any) -> Any:
    if takes_list(option) and isinstance(value, list):
        return [_absolute_path(option, part) for part in value]
    return _absolute_path(option, value)


def _absolute_path(option: Option, value: Any) -> Any:
    # A model may be a hub id, which looks like a path that is not there; another machine's drive stays as it is.
    if not isinstance(value, str) or not value.strip() or value.startswith("~"):
        return value
    path = Path(value)
    is_here = option.text.path != "file or folder" or path.exists()
    return str(path.absolute()) if is_here and "://" not in value and not path.is_absolute() else value


def as_text(value: Any) -> str:
    """A content or a path as a form shows it in a box of several lines."""
    if isinstance(value, Mapping):
        return write_nested(value)
    if isinstance(value, (list, tuple)):
        return "".join(f"{line}\n" for line in value)
    return value if isinstance(value, str) else json.dumps(value)
