"""A command line as people keep it, in a note or in a script: which command, and the words behind it.

Lines may be continued in the ways of all shells, and `accelerate launch` or `python` may stand in front.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from ..commands import COMMANDS, GENERATORS
from ..errors import Problems, UserError
from ..options.argv import read_argv
from ..options.convert import from_words
from .imported import Imported, Ledger
from .values import as_json

TITLE = "Command line of sd-scripts"
CONTINUED = re.compile(r"[ \t](?:\\|\^|`)[ \t]*\r?\n")
COMMENT = re.compile(r"\s*(?:#|::|rem\b)", re.IGNORECASE)
ASSIGNMENT = re.compile(r"\s*[\w.\"-]+\s*=")
ON_WINDOWS = re.compile(r"(?<![A-Za-z])[A-Za-z]:\\|\\\w+\.py\b")
# Behind these words stands something else than options.
ENDS = frozenset(("|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"))


@dataclass(frozen=True)
class CommandText:
    """The command, as a key of COMMANDS or GENERATORS, and its words."""

    command: str
    words: tuple[str, ...]


def command_text(text: str) -> CommandText | None:
    """The command line in a text; None where it holds none."""
    joined = "\n".join(line for line in CONTINUED.sub(" ", text).splitlines() if not COMMENT.match(line))
    for line in joined.splitlines():
        if " --" not in line or ASSIGNMENT.match(line):
            continue
        words = list(_words(line))
        for place, word in enumerate(words):
            name = re.split(r"[/\\]", word)[-1].removesuffix(".py")
            if name in COMMANDS or name in GENERATORS:
                return CommandText(name, tuple(_options(words[place + 1 :])))
    return None


def import_command_text(found: CommandText) -> Imported:
    """The options of a command line, with a report of every word that has no place."""
    ledger, problems = Ledger(found.command, TITLE), Problems()
    for one in read_argv(found.words, ledger.declared, problems):
        try:
            value = as_json(from_words(one.option, one.words, f"--{one.option.name}"))
        except UserError as problem:
            problems.add(problem)
            continue
        ledger.take(f"--{one.option.name}", value, one.option.name)
    for error in problems.errors:
        name = error.where.removeprefix("--")
        if error.where.startswith("--") and name not in ledger.declared:
            ledger.leave_unknown(name, "")
        else:
            ledger.leave("", error.where, f"{error.what} {error.fix}".strip())
    return ledger.result


def _words(line: str) -> Iterator[str]:
    """The words as a shell takes them apart; what is left of a line with an open quote is left out."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    if ON_WINDOWS.search(line):
        lexer.escape = ""
    try:
        yield from lexer
    except ValueError:
        return


def _options(words: list[str]) -> Iterator[str]:
    for word in words:
        if word in ENDS:
            return
        yield word
