"""The written reference of the options, the short help, and the frozen list, all from the declarations."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .convert import element_type, shown, takes_list, takes_no_value
from .dataset_keys import ALLOWED, DATASET_KEYS, FOLDER_KEYS, SUBSET_KEYS, SUBSET_ONLY, key_options
from .elsewhere import ELSEWHERE
from .spec import Option, Refuses, options_of

NAME_WIDTH = 34
TABLES = {"general": "`[general]`", "datasets": "`[[datasets]]`", "subsets": "`[[datasets.subsets]]`"}
KIND_WORDS = {int: "int", float: "float", str: "text"}


def help_text(title: str, groups: Sequence[type], program: str) -> str:
    """What --help prints: every option under the heading of its group."""
    width = max(60, min(shutil.get_terminal_size().columns, 120))
    lines = [f"{title}.", "", f"Usage: {program} --option VALUE --flag …", ""]
    for group in groups:
        lines += [first_line(group), ""]
        for option in options_of(group):
            lines += _help_lines(option, width)
        lines.append("")
    return "\n".join(lines)


def reference_text(commands: Mapping[str, tuple[str, Sequence[type]]]) -> str:
    """The reference page in Markdown.

    Args:
        commands: name of each command to its title and groups.
    """
    parts = [
        "# Options",
        "",
        "This page is generated from the declarations in `trainer/tanren/options/`; "
        "`python tools/write_reference.py` writes it again. The tests that show what each option does are listed in "
        "[option-tests.md](option-tests.md).",
        "",
        "An option can stand on the command line (`--name value`, `--name=value`) or in a TOML file named by "
        "`--config_file` (`name = value`, under any section). What is typed on the command line wins. Flags take no "
        "value. Lists take several words, and an array in TOML.",
    ]
    listed: set[type] = set()
    for name, (title, groups) in commands.items():
        parts += ["", f"## {name}", "", f"{title}."]
        if listed:
            parts += ["", *_shared(groups, listed, next(iter(commands)))]
        own = [group for group in groups if group not in listed]
        listed.update(own)
        for group in own:
            parts += ["", f"### {first_line(group)}", "", "| option | value, default | meaning |", "|---|---|---|"]
            parts += [_table_row(option) for option in options_of(group)]
    parts += ["", "## Dataset file", "", *_dataset_file_lines()]
    parts += ["", "## Known from sd-scripts, but not here", ""]
    for why in dict.fromkeys(ELSEWHERE.values()):
        names = ", ".join(f"`--{name}`" for name, reason in ELSEWHERE.items() if reason == why)
        parts.append(f"- {why} {names}")
    parts += ["", "On the command line they are an error, in a config file a warning."]
    return "\n".join(parts) + "\n"


def frozen_list(groups: Sequence[type]) -> str:
    """One line per option: what a command line or config file may rely on."""
    lines = []
    for group in groups:
        for option in options_of(group):
            facts = [option.name, value_text(option), f"default {shown(option.default)!r}"]
            if option.text.choices:
                facts.append("choices " + " ".join(map(str, option.text.choices)))
            lines.append(" | ".join(facts))
    return "\n".join(lines) + "\n"


def first_line(group: type) -> str:
    """The sentence that describes a group, as a heading."""
    return (group.__doc__ or group.__name__).strip().splitlines()[0].rstrip(".")


def value_text(option: Option) -> str:
    """What follows the flag: nothing, a kind of value, or the choices."""
    if takes_no_value(option):
        return "flag"
    word = option.text.written or option.text.path
    if option.text.choices and not takes_list(option):
        word = " / ".join(map(str, option.text.choices))
    word = word or KIND_WORDS[element_type(option)]
    return f"list of {word}" if takes_list(option) else word


def value_and_default(option: Option) -> str:
    """What follows the flag, and what is used without it."""
    default = f", `{shown(option.default)}`" if _has_default(option) else ""
    return value_text(option) + default


def meaning(option: Option) -> str:
    """What an option does, its limits, and why it does nothing where that is so."""
    text = option.text.help + _limits(option)
    return f"{text} *No effect:* {option.text.no_effect}" if option.text.no_effect else text


def cell(text: Any) -> str:
    """Text as it may stand in a table of Markdown."""
    return str(text).replace("|", "\\|").replace("<", "&lt;")


def _shared(groups: Sequence[type], listed: set[type], first: str) -> Iterator[str]:
    """What a command has of the options above, and what it does not take of them."""
    names = [first_line(group) for group in groups if group in listed]
    yield f"It has these options of `{first}`, with the same meaning: {'; '.join(names)}."
    yield ""
    for group in groups:
        for rule in getattr(group, "rules", ()):
            if isinstance(rule, Refuses):
                kind = "has no effect" if rule.warns else "is an error"
                yield f"- `--{rule.option}` {kind}: {rule.because}."


def _dataset_file_lines() -> Iterator[str]:
    yield (
        "`--dataset_config` names a TOML or JSON file with an optional `[general]`, one or more `[[datasets]]` and in "
        "each of them `[[datasets.subsets]]`. A subset's value comes from the subset, its dataset, `[general]`, the "
        "command line or the default, in this order. Keys that are options of the command line mean the same here."
    )
    yield ""
    yield "| key | may stand in | value, default | meaning |"
    yield "|---|---|---|---|"
    options = key_options()
    for key in dict.fromkeys((*DATASET_KEYS, *SUBSET_KEYS, *FOLDER_KEYS, *SUBSET_ONLY)):
        places = " ".join(TABLES[level] for level, keys in ALLOWED.items() if key in keys)
        value, text = "table", "Further attributes; known: `diff_output_preservation = true`."
        if key in options:
            value, text = value_and_default(options[key]), options[key].text.help
            value = value.replace("flag", "true / false")
        yield f"| `{key}` | {places} | {cell(value)} | {cell(text)} |"


def _help_lines(option: Option, width: int) -> Iterator[str]:
    flag = f"  --{option.name}" + ("" if takes_no_value(option) else f" {_short_value(option)}")
    text = _sentence(option)
    if len(flag) >= NAME_WIDTH:
        yield flag
        flag = ""
    indent = " " * NAME_WIDTH
    yield from textwrap.wrap(text, width, initial_indent=flag.ljust(NAME_WIDTH), subsequent_indent=indent)


def _short_value(option: Option) -> str:
    return (
        "…" if option.text.choices and len(option.text.choices) > 6 else value_text(option).upper().replace(" / ", "|")
    )


def _sentence(option: Option) -> str:
    parts = [option.text.help]
    if _has_default(option):
        parts.append(f"Default: {shown(option.default)}.")
    if option.text.no_effect:
        parts.append(f"Has no effect here. {option.text.no_effect}")
    return " ".join(parts)


def _has_default(option: Option) -> bool:
    return option.default not in (None, False, "", ())


def _table_row(option: Option) -> str:
    return f"| `--{option.name}` | {cell(value_and_default(option))} | {cell(meaning(option))} |"


def _limits(option: Option) -> str:
    low, high = option.text.minimum, option.text.maximum
    if low is not None and high is not None:
        return f" From {low:g} to {high:g}."
    return "" if low is None else f" At least {low:g}."
