"""The page that leads from every option to the tests that show its effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from effect_marks import EffectTest
from tanren.commands import Command, Generator
from tanren.options.reference import cell, first_line, meaning, value_and_default
from tanren.options.spec import Option, Refuses, options_of

Commands = Mapping[str, Command] | Mapping[str, Generator]
INTRODUCTION = """# What every option does, and the tests that show it

This page is generated; `python tools/write_reference.py` writes it again. A test in the last column fails when the
option does nothing: it compares runs with and without the option, or holds the option's numbers against a computation
of its own. Tests name their options with `@pytest.mark.option("name")`. Options that are accepted without effect lead
to the test of the line that says so. What belongs together stands in [options.md](options.md)."""


# Options of the commands that draw pictures are called as others in part; their tests lie here.
OF_GENERATORS = "generation/"


def page(trainers: Mapping[str, Command], generators: Mapping[str, Generator], tests: Sequence[EffectTest]) -> str:
    """The page in Markdown, for `docs/`.

    Args:
        trainers, generators: by name, as in `commands.py`.
        tests: one entry for each test and option.
    """
    parts = [INTRODUCTION]
    groups = dict.fromkeys(group for command in trainers.values() for group in command.groups)
    for group in groups:
        parts += _table(group, trainers, [test for test in tests if not test.file.startswith(OF_GENERATORS)])
    others = dict.fromkeys(group for command in generators.values() for group in command.groups)
    parts += ["", "# Commands that draw pictures"]
    for group in others:
        if group not in groups:
            parts += _table(group, generators, [test for test in tests if test.file.startswith(OF_GENERATORS)])
    return "\n".join(parts) + "\n"


def _table(group: type, commands: Commands, tests: Sequence[EffectTest]) -> list[str]:
    if not options_of(group):
        return []
    head = ["| option | value, default | commands | meaning | tests |", "|---|---|---|---|---|"]
    return ["", f"## {first_line(group)}", "", *head, *(_row(option, commands, tests) for option in options_of(group))]


def users(option: Option, commands: Commands) -> Iterator[str]:
    """The commands that have an option and neither refuse nor ignore it."""
    for name, command in commands.items():
        rules = (rule for group in command.groups for rule in getattr(group, "rules", ()))
        refused = {rule.option for rule in rules if isinstance(rule, Refuses)}
        if option.group in command.groups and option.name not in refused:
            yield name


def _row(option: Option, commands: Commands, tests: Sequence[EffectTest]) -> str:
    shown = [f"[{test.file}::{test.test}](../tests/{test.file})" for test in tests if test.option == option.name]
    names = list(users(option, commands))
    cells = (
        f"`--{option.name}`",
        cell(value_and_default(option)),
        "all" if len(names) == len(commands) else " ".join(names),
        cell(meaning(option)),
        "<br>".join(shown),
    )
    return "| " + " | ".join(cells) + " |"
