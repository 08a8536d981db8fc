"""Command line and --config_file to settings; everything that is wrong comes in one report.

Order of authority: default, config file, command line. The rules are those that sd-scripts users know: `argv.py` reads
the words, sections of the config file are flattened by one level, and its unknown keys are warnings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Problems, UsageError, UserError
from ..formats.nearest import nearest
from ..formats.toml_file import TomlFile, open_toml, write_flat
from .adjust import adjust
from .argv import Given, read_argv
from .config import ConfigOptions
from .convert import as_file_value, from_file, from_words
from .elsewhere import known_elsewhere
from .spec import Option, Settings, options_of


@dataclass(frozen=True)
class ParsedRun:
    """What was asked for, and what to tell the user about it."""

    settings: Settings
    warnings: tuple[str, ...]


def parse(command: str, groups: Sequence[type], argv: Sequence[str], problems: Problems | None = None) -> ParsedRun:
    """Settings of a command from its command line and config file.

    Args:
        command: its name, such as "train_network".
        groups: the option groups it has.
        argv: words after the program's name.
        problems: where to collect what is wrong; without it, everything is raised at the end.

    Raises:
        UserError: all problems, when no `problems` were handed in.
    """
    collected = Problems() if problems is None else problems
    options = options_by_name(groups)
    words = read_argv(argv, options, collected)
    typed = _typed_values(words, collected)
    from_config = _config_values(typed.get("config_file"), bool(typed.get("output_config")), options, collected)
    for name in typed:
        if options[name].text.secret:
            use = options[name].variable
            # Not "--name: …", of which the log would hide the next word as if it were the secret.
            collected.warn(
                f"--{name} can be read by others on this machine, as all command lines can; use {use} instead."
            )
    run = _built(command, groups, from_config | typed, collected)
    if problems is None:
        collected.raise_if_any()
    return run


def parse_spec(
    command: str, groups: Sequence[type], given: Mapping[str, Any], where: str, problems: Problems
) -> ParsedRun:
    """Settings of a job from its frozen spec, whose unknown options and secrets are refused.

    Args:
        command: its name.
        groups: the option groups it has.
        given: options by name, as JSON.
        where: the spec, for messages.
        problems: what is wrong goes here.
    """
    options = options_by_name(groups)
    values: dict[str, Any] = {}
    for name, value in given.items():
        option = options.get(name)
        if option is None or option.text.secret:
            close = nearest(name, options)
            fix = f"Did you mean {close}?" if option is None and close else "Remove it."
            what = "There is no such option." if option is None else "A secret has no place in a spec."
            problems.add(UsageError(where=f"{where} ({name})", what=what, fix=fix))
            continue
        try:
            values[name] = from_file(option, value, f"{where} ({name})")
        except UsageError as problem:
            problems.add(problem)
    return _built(command, groups, values, problems)


def _built(command: str, groups: Sequence[type], given: Mapping[str, Any], problems: Problems) -> ParsedRun:
    options = options_by_name(groups)
    values = {name: option.default for name, option in options.items()} | dict(given)
    _leave_out_what_has_no_effect(options, values, frozenset(given), problems)
    adjust(values, problems)
    settings = Settings(command, [_build(group, values) for group in groups], frozenset(given))
    return ParsedRun(settings, tuple(problems.warnings))


def options_by_name(groups: Sequence[type]) -> dict[str, Option]:
    """Every option of some groups; a name belongs to one group only."""
    options: dict[str, Option] = {}
    for group in groups:
        for option in options_of(group):
            assert option.name not in options, f"{option.name} is declared twice"
            options[option.name] = option
    return options


def config_path(text: str) -> Path:
    """The config file a user named; `.toml` is added when it is missing."""
    return Path(text if text.endswith(".toml") else f"{text}.toml")


def effective_config(settings: Settings, groups: Sequence[type]) -> str:
    """What --output_config writes: everything that differs from the default, without secrets."""
    flat = settings.flat()
    left_out = {option.name for option in options_of(ConfigOptions)}
    return write_flat(
        {
            name: as_file_value(option, flat[name])
            for name, option in options_by_name(groups).items()
            if name not in left_out and not option.text.secret and flat[name] not in (None, option.default)
        }
    )


def _typed_values(words: Sequence[Given], problems: Problems) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for given in words:
        try:
            values[given.option.name] = from_words(given.option, given.words, f"--{given.option.name}")
        except UsageError as problem:
            problems.add(problem)
    return values


def _config_values(
    text: str | None, is_target: bool, options: Mapping[str, Option], problems: Problems
) -> dict[str, Any]:
    if text is None or is_target:
        return {}
    try:
        file = open_toml(config_path(text))
    except UserError as problem:
        problem.where = f"--config_file {problem.where}"
        problems.add(problem)
        return {}
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for key, value, where in _flattened(file):
        option = options.get(key)
        if option is None:
            unknown.append(_unknown_key(key, options))
            continue
        try:
            values[key] = from_file(option, value, f"{where} ({key})")
        except UsageError as problem:
            problems.add(problem)
    if unknown:
        problems.warn(f"{file.path}: keys without effect: {'; '.join(unknown)}.")
    return values


def _flattened(file: TomlFile) -> list[tuple[str, Any, str]]:
    """(key, value, file:line) with top-level tables opened; later ones win because they come later."""
    entries: list[tuple[str, Any, str]] = []
    for key, value in file.data.items():
        if isinstance(value, dict):
            entries += [(inner, part, file.where(key, inner)) for inner, part in value.items()]
        else:
            entries.append((key, value, file.where(key)))
    return entries


def _unknown_key(key: str, options: Mapping[str, Option]) -> str:
    why = known_elsewhere(key, options)
    if why is not None:
        return f"{key} ({why[0].lower()}{why[1:].rstrip('.')})"
    close = nearest(key, options)
    return f"{key} (did you mean {close}?)" if close else key


def _leave_out_what_has_no_effect(
    options: Mapping[str, Option], values: dict[str, Any], given: frozenset[str], problems: Problems
) -> None:
    """Say it, and put the default back, so that nothing is swayed where another command reads the option."""
    for name, option in options.items():
        if name in given and option.text.no_effect and values[name] != option.default:
            problems.warn(f"--{name} has no effect here. {option.text.no_effect}")
            values[name] = option.default


def _build(group: type, values: Mapping[str, Any]) -> Any:
    return group(**{option.name: values[option.name] for option in options_of(group)})
