"""Settings as texts of other programs' kinds, by the words that a list shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UsageError
from ..options.contents import CONCEPTS_FILE, DATASET_FILE, PROMPTS_FILE
from .command_line import command_line
from .exchange import CONFIG_NAME, exported

SHELL, PROMPT = "Command line for Linux and macOS", "Command line for Windows (cmd)"
CONFIG, DATASET, PROMPTS = "Config file (settings.toml)", "Dataset file (dataset.toml)", "Sample prompts (prompts.txt)"
CONCEPTS = "LECO prompt file (leco.toml)"

Options = Mapping[str, Any]
Written = tuple[str, str]


def written(command: str, options: Options, kind: str) -> Written:
    """File name and text.

    Args:
        command: the options are for.
        options: as a form means them.
        kind: one of `KINDS`.

    Raises:
        UsageError: there is no such kind, or the settings have nothing of it.
    """
    if kind not in KINDS:
        raise UsageError(where="", what=f"There is no {kind!r}.", fix="Choose one of the list.")
    return KINDS[kind](command, options)


def _shell(command: str, options: Options) -> Written:
    return "train.sh", command_line(command, options, shell="sh") + "\n"


def _prompt(command: str, options: Options) -> Written:
    return "train.cmd", command_line(command, options, shell="cmd") + "\r\n"


def _file(name: str) -> Callable[[str, Options], Written]:
    def write(command: str, options: Options) -> Written:
        files = exported(command, options).files
        if name not in files:
            raise UsageError(
                where="",
                what=f"These settings need no {name}.",
                why="What it would hold is named in the config file, as a path.",
                fix=f"Use {CONFIG_NAME}.",
            )
        return name, files[name]

    return write


KINDS: dict[str, Callable[[str, Options], Written]] = {
    SHELL: _shell,
    PROMPT: _prompt,
    CONFIG: _file(CONFIG_NAME),
    DATASET: _file(DATASET_FILE),
    CONCEPTS: _file(CONCEPTS_FILE),
    PROMPTS: _file(PROMPTS_FILE),
}
