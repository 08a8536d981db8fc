"""Options as the command line that means the same, quoted for a shell.

A single value is written `--name=value`, so that it may begin with a dash; the entries of a list follow their flag as
words of their own. Contents (a dataset, prompts) are named as the files that an export writes.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any, Literal

from ..errors import UsageError
from ..options.argv import is_option_word
from ..options.contents import FILES
from ..options.convert import as_file_value, from_file, shown, takes_list, takes_no_value
from ..options.spec import Option
from .fields import form_options

Shell = Literal["sh", "cmd"]
PROGRAM = ("python", "launch.py")
PLAIN_IN_CMD = re.compile(r"[\w\-./\\:,+@=~#\[\]{}]+")
# What cmd reads even where its quotes do not protect it.
SPECIAL_IN_CMD = re.compile(r'([()%!^"<>&|])')


def command_line(
    command: str, options: Mapping[str, Any], *, shell: Shell = "sh", program: tuple[str, ...] = PROGRAM
) -> str:
    """The line to copy.

    Args:
        command: such as "train_network".
        options: as a job's spec or a form holds them.
        shell: "sh" for bash, zsh and the like, "cmd" for the Windows command prompt.
        program: words in front of the command.

    Raises:
        UsageError: a value that cannot stand on a command line of this shell.
    """
    words = [*program, command, *argv_of(command, options)]
    return " ".join(map(_sh_word if shell == "sh" else _cmd_word, words))


def argv_of(command: str, options: Mapping[str, Any]) -> list[str]:
    """The words behind the command, unquoted.

    Raises:
        UsageError: a list whose entries would be read as options.
    """
    words: list[str] = []
    declared = form_options(command)
    for name, option in declared.items():
        if name in options:
            words += _words(option, with_file_names(options)[name])
    return words


def with_file_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with contents replaced by the names of the files that an export writes for them."""
    return {name: FILES[name] if name in FILES and not isinstance(v, str) else v for name, v in options.items()}


def _words(option: Option, value: Any) -> list[str]:
    flag = f"--{option.name}"
    if takes_no_value(option):
        return [flag] if value else []
    if not takes_list(option):
        return [f"{flag}={shown(from_file(option, as_file_value(option, value), flag))}"]
    entries = [shown(entry) for entry in value]
    if len(entries) == 1:
        return [f"{flag}={entries[0]}"]
    if any(map(is_option_word, entries)):
        what = "The list has an entry that begins with a dash, which a command line reads as an option."
        raise UsageError(where=flag, what=what, fix="Export the settings as a config file.")
    return [flag, *entries]


def _sh_word(word: str) -> str:
    name, equals, value = word.partition("=")
    is_option = word.startswith("--") and equals
    return f"{name}={shlex.quote(value)}" if is_option and re.fullmatch(r"[\w-]+", name) else shlex.quote(word)


def _cmd_word(word: str) -> str:
    """A word as cmd passes it on and Windows programs read it; a line break cannot be passed at all."""
    if "\n" in word or "\r" in word:
        flag = word.partition("=")[0]
        raise UsageError(
            where=flag if flag.startswith("--") else "",
            what="A value with line breaks cannot stand on a command line of Windows.",
            fix="Export the settings as a config file.",
        )
    if PLAIN_IN_CMD.fullmatch(word):
        return word
    quoted = subprocess.list2cmdline([word])
    quoted = quoted if quoted.startswith('"') else f'"{quoted}{_doubled_end(quoted)}"'
    # Inside double quotes cmd still expands %NAMES% and !NAMES!, and a quote of the value would end its own quoting.
    return SPECIAL_IN_CMD.sub(r"^\1", quoted) if set(word) & set('%!^"') else quoted


def _doubled_end(text: str) -> str:
    """The backslashes to add so that those at the end do not swallow the quote."""
    return "\\" * (len(text) - len(text.rstrip("\\")))
