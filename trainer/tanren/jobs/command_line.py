"""A job's settings as the words of a command line, for people who want to see or repeat them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def option_words(options: Mapping[str, Any]) -> list[str]:
    """Options as a job's spec holds them, as words: a flag alone, a list as several words, the rest as --name=value."""
    words: list[str] = []
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif isinstance(value, list):
            words += [f"--{name}", *map(str, value)]
        elif value is not None and value is not False:
            words.append(f"--{name}={value}")
    return words


def shell_line(command: str, options: Mapping[str, Any]) -> str:
    """The same in one line that a POSIX shell takes."""
    return shlex.join(["python", "launch.py", command, *option_words(options)])
