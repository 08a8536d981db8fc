"""Options that may hold the content of a file instead of its path, and what a job keeps beside its spec.

A trainer reads a dataset, sample prompts and what LECO changes from files. A form and a preset hold them in place of
the path: `dataset_config` and `prompts_file` as the tables of such a file, `sample_prompts` as a list of lines. Before
anything runs they are written out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import write_text
from ..formats.leco_prompts import with_neutrals
from ..formats.limits import read_settings_text
from ..formats.toml_file import parse_toml, write_nested
from ..paths import ANYWHERE, PathPolicy, resolve_user_path

DATASET, PROMPTS, CONCEPTS = "dataset_config", "sample_prompts", "prompts_file"
DATASET_FILE, PROMPTS_FILE, CONCEPTS_FILE = "dataset.toml", "prompts.txt", "leco.toml"
FILES = {DATASET: DATASET_FILE, PROMPTS: PROMPTS_FILE, CONCEPTS: CONCEPTS_FILE}
SUFFIXES = {DATASET: (".toml", ".json"), PROMPTS: (".txt", ".toml", ".json"), CONCEPTS: (".toml",)}


def contents_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Text of every file that the options hold themselves, by the name that the file gets."""
    texts = {}
    for option in (DATASET, CONCEPTS):
        if isinstance(options.get(option), Mapping):
            texts[FILES[option]] = write_nested(options[option])
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
    return _with_paths(options, texts, folder)


def frozen(
    options: Mapping[str, Any], folder: Path, *, policy: PathPolicy = ANYWHERE
) -> tuple[dict[str, Any], dict[str, str]]:
    """The options of a job's spec, and the text of each file that has to lie in its folder for them.

    Contents become files of the folder; dataset and prompt files that the options name are copied there, so that a job
    that waits in a queue trains what was asked of it, whatever happens to those files in the meantime.

    Args:
        options: as JSON; not changed.
        folder: of the job; it may still have to be made.
        policy: files outside of its roots are not copied.
    """
    texts = contents_of(options)
    given = _with_paths(options, texts, folder)
    for option, suffixes in SUFFIXES.items():
        named = given.get(option)
        if not isinstance(named, str) or named != options.get(option):
            continue
        path, text = _text_of(named, suffixes, policy)
        if path is not None:
            name = Path(FILES[option]).with_suffix(path.suffix.lower()).name
            texts[name] = _standing_alone(text, path) if option == CONCEPTS else text
            given[option] = str(folder / name)
    return given, texts


def _with_paths(options: Mapping[str, Any], texts: Mapping[str, str], folder: Path) -> dict[str, Any]:
    return {**options, **{option: str(folder / name) for option, name in FILES.items() if name in texts}}


def _text_of(named: str, suffixes: Sequence[str], policy: PathPolicy) -> tuple[Path | None, str]:
    """A file and its text; None where there is nothing to copy, which the checks tell better."""
    try:
        path = resolve_user_path(named, "file", policy=policy)
        return (path, read_settings_text(path)) if path.suffix.lower() in suffixes else (None, "")
    except UserError:
        return None, ""


def _standing_alone(text: str, path: Path) -> str:
    """A LECO file's text with the neutral prompts in it that it would read from files beside it."""
    try:
        data = parse_toml(text, str(path))
        inside = with_neutrals(data, path.parent)
    except UserError:
        # The checks tell it better.
        return text
    return text if inside == data else write_nested(inside)


def as_text(value: Any) -> str:
    """A content or a path as a form shows it in a box of several lines."""
    if isinstance(value, Mapping):
        return write_nested(value)
    if isinstance(value, (list, tuple)):
        return "".join(f"{line}\n" for line in value)
    return value if isinstance(value, str) else json.dumps(value)
