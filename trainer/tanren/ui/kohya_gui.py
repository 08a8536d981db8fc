"""The JSON that the Save button of kohya_ss' GUI (bmaltais) writes for a LoRA, of old and of new versions.

Most keys are options of sd-scripts. Numbers may be text, "" and often 0 mean "not set", and some keys are the GUI's own
words: `LoRA_type`, `max_resolution`, `optimizer`, `epoch`, `lr_warmup` in percent, `noise_offset_type`, a text of
prompts. What the GUI itself does not pass on is left out here, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Problems, UsageError
from ..options.argv import read_argv
from ..options.contents import PROMPTS, SUFFIXES
from ..options.convert import from_words, takes_no_value
from .imported import Imported, Ledger
from .kohya_keys import (
    CYCLING,
    FAMILIES,
    FAMILY_COMMANDS,
    FAMILY_KEYS,
    FAMILY_PREFIXES,
    ITS_OWN,
    LAUNCH,
    MARKS,
    NOISE,
    OWN_NAMES,
    RENAMED,
    ZERO_IS_OFF,
)
from .kohya_networks import NETWORK_KEYS, take_network
from .values import as_json, is_path_of

TITLE = "Settings of kohya_ss' GUI"
Config = Mapping[str, Any]


def is_gui_config(data: Config) -> bool:
    """True for a configuration of a LoRA; the GUI's other tabs write files without these keys."""
    return any(mark in data for mark in MARKS)


def gui_command(data: Config) -> str | None:
    """The command that a GUI configuration is for; None where it does not say."""
    chosen = next((command for key, command in FAMILY_COMMANDS.items() if data.get(key) is True), None)
    is_ordinary = data.get("sdxl") is False and not any(data.get(key) is True for key in FAMILIES)
    return chosen or ("train_network" if is_ordinary else None)


def import_gui(command: str, data: Config) -> Imported:
    """The options of a GUI configuration, with a report of every value that means something.

    Args:
        command: the options are for.
        data: the parsed file.
    """
    ledger = Ledger(command, TITLE)
    for rule in RULES:
        rule(data, ledger)
    for key, value in data.items():
        if key not in BY_RULES:
            _take_plainly(key, value, data, ledger)
    return ledger.result


def is_unset(value: Any) -> bool:
    """True for what the GUI writes into a field that nobody touched."""
    return value is None or value is False or (isinstance(value, str) and not value.strip()) or value in ([], {})


def is_zero(value: Any) -> bool:
    """True for 0, 0.0 and their text."""
    return number(value) == 0.0


def number(value: Any) -> float | None:
    """A finite number, or its text; None for anything else."""
    try:
        found = math.nan if isinstance(value, (bool, list, dict)) or value is None else float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _figure(data: Config, key: str, ledger: Ledger) -> float:
    """The number under a key, 0 where there is none; something else is told and counts as none."""
    value = data.get(key)
    found = 0.0 if is_unset(value) else number(value)
    if found is None:
        ledger.leave(key, value, "It is not a number.")
    return found or 0.0


def _take_plainly(key: str, value: Any, data: Config, ledger: Ledger) -> None:
    option = RENAMED.get(key, key)
    if option in ledger.declared and option not in FAMILY_KEYS and key not in LAUNCH:
        is_off = is_zero(value) and option in ZERO_IS_OFF
        if takes_no_value(ledger.declared[option]) and value in (0, 1):
            value = bool(value)
        if value is False or not (is_unset(value) or is_off):
            ledger.take(key, value, option)
        return
    if is_unset(value) or value == ITS_OWN.get(key) or value == LAUNCH.get(key) or key in ITS_OWN:
        return
    if key in LAUNCH:
        if not is_zero(value):
            ledger.leave(key, value, "It is a setting of accelerate launch, not of the training.")
    elif not (key in FAMILY_KEYS or key.startswith(FAMILY_PREFIXES)) and not is_zero(value):
        ledger.leave_unknown(key, value)


def _families(data: Config, ledger: Ledger) -> None:
    for key, title in FAMILIES.items():
        if data.get(key) is not True:
            continue
        if FAMILY_COMMANDS.get(key) != ledger.result.command:
            ledger.leave(key, True, f"The file is for {title}, which this command does not train.")
            continue
        ledger.result.taken.append(key)
        for name, option in OWN_NAMES.get(key, {}).items():
            if data.get(name) is True:
                ledger.take(name, True, option)


def _learning_rates(data: Config, ledger: Ledger) -> None:
    """0 means in the GUI that a part is not trained; both 0 mean that both have the common rate."""
    rates = {key: _figure(data, key, ledger) for key in ("text_encoder_lr", "unet_lr")}
    only = {"text_encoder_lr": "network_train_unet_only", "unet_lr": "network_train_text_encoder_only"}
    part = {"text_encoder_lr": "the text encoder", "unet_lr": "the U-Net"}
    for key, rate in rates.items():
        if rate:
            ledger.take(key, data[key])
        elif any(rates.values()):
            ledger.change(key, data.get(key), only[key], True, f"0 means in the GUI that {part[key]} is not trained.")


def _length(data: Config, ledger: Ledger) -> None:
    """The GUI counts steps from its epochs, unless steps or sd-scripts' own epochs are given."""
    epochs, steps = _figure(data, "epoch", ledger), number(data.get("max_train_steps"))
    own = number(data.get("max_train_epochs"))
    if not epochs or own:
        return
    if steps:
        ledger.leave("epoch", data["epoch"], "max_train_steps is given, so that the GUI does not use it.")
    elif not is_unset(data.get("dataset_config")):
        ledger.leave("epoch", data["epoch"], "With a dataset file the GUI does not use it; 1600 steps are trained.")
    else:
        why = "The GUI counts the steps of its epochs; here epochs are counted themselves."
        ledger.change("epoch", data["epoch"], "max_train_epochs", epochs, why)


def _warmup(data: Config, ledger: Ledger) -> None:
    percent, steps = (_figure(data, key, ledger) for key in ("lr_warmup", "lr_warmup_steps"))
    if steps:
        ledger.take("lr_warmup_steps", int(steps) if steps >= 1 else steps)
        if percent:
            ledger.leave("lr_warmup", data["lr_warmup"], "lr_warmup_steps is given, which counts in the GUI.")
    elif percent:
        ledger.change(
            "lr_warmup", data["lr_warmup"], "lr_warmup_steps", percent / 100, "Percent as a ratio of all steps."
        )


def _noise(data: Config, ledger: Ledger) -> None:
    kind = str(data.get("noise_offset_type") or "Original")
    for name, keys in NOISE.items():
        for key in keys:
            value = data.get(key)
            if is_unset(value) or is_zero(value):
                continue
            if name == kind:
                ledger.take(key, value)
            elif key not in ("multires_noise_discount", "noise_offset_random_strength"):
                ledger.leave(key, value, f"noise_offset_type is {kind}, so that the GUI does not use it.")
    if kind not in NOISE:
        ledger.leave("noise_offset_type", kind, "Only Original and Multires are known.")


def _attention(data: Config, ledger: Ledger) -> None:
    value = data.get("xformers")
    option = {"True": "xformers", "true": "xformers", "xformers": "xformers", "sdpa": "sdpa"}.get(str(value))
    if option:
        ledger.take("xformers", True, option)
    elif not is_unset(value) and value != "none":
        ledger.leave("xformers", value, "Only xformers, sdpa and none are known.")


def _arguments(data: Config, ledger: Ledger) -> None:
    """Fields of `key=value` pairs with blanks between them; the GUI drops double quotes."""
    for key in ("optimizer_args", "lr_scheduler_args"):
        value = data.get(key)
        if not is_unset(value):
            ledger.take(key, value if isinstance(value, list) else str(value).replace('"', "").split())


def _cycles(data: Config, ledger: Ledger) -> None:
    value, epochs = data.get("lr_scheduler_num_cycles"), number(data.get("epoch"))
    if not is_unset(value):
        ledger.take("lr_scheduler_num_cycles", value)
    elif value == "" and epochs and data.get("lr_scheduler") in CYCLING:
        why = "An empty field means in the GUI one cycle per epoch."
        ledger.change("lr_scheduler_num_cycles", "", "lr_scheduler_num_cycles", epochs, why)


def _prompts(data: Config, ledger: Ledger) -> None:
    text = data.get(PROMPTS)
    if isinstance(text, str) and text.strip():
        lines = [line for line in text.splitlines() if line.strip()]
        ledger.take(PROMPTS, text.strip() if is_path_of(text.strip(), SUFFIXES[PROMPTS]) else lines)


def _text_encoder_stop(data: Config, ledger: Ledger) -> None:
    for key in ("stop_text_encoder_training", "stop_text_encoder_training_pct"):
        if _figure(data, key, ledger):
            ledger.leave(key, data[key], "It has no effect for a LoRA, in the GUI as here.")


def _additional(data: Config, ledger: Ledger) -> None:
    """Further words of a command line; one that cannot be read leaves the others alone."""
    text = data.get("additional_parameters")
    if not isinstance(text, str) or not text.strip():
        return
    problems = Problems()
    given = read_argv(text.replace('"', "").split(), ledger.declared, problems)
    for one in given:
        try:
            value = as_json(from_words(one.option, one.words, f"--{one.option.name}"))
        except UsageError as error:
            problems.add(error)
            continue
        ledger.take(f"additional_parameters --{one.option.name}", value, one.option.name)
    for problem in problems.errors:
        ledger.leave("additional_parameters", problem.where, f"{problem.what} {problem.fix}".strip())


RULES: tuple[Callable[[Config, Ledger], None], ...] = (
    _families,
    take_network,
    _learning_rates,
    _length,
    _warmup,
    _noise,
    _attention,
    _arguments,
    _cycles,
    _prompts,
    _text_encoder_stop,
    _additional,
)
BY_RULES = frozenset(
    (
        *FAMILIES,
        *(name for names in OWN_NAMES.values() for name in names),
        *NETWORK_KEYS,
        *("text_encoder_lr", "unet_lr", "epoch", "lr_warmup", "lr_warmup_steps", "noise_offset_type", "xformers"),
        *(key for keys in NOISE.values() for key in keys),
        *("optimizer_args", "lr_scheduler_args", "lr_scheduler_num_cycles", PROMPTS, "additional_parameters"),
        *("stop_text_encoder_training", "stop_text_encoder_training_pct"),
    )
)
