"""`plan train_network --…`: what a run would do, without loading a model and without torch.

Exit code 0 when the run could start, else that of its problems, all of which are told at once.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from .commands import COMMANDS
from .disk import size_text
from .errors import Problems, SeveralProblems, UsageError, UserError
from .formats.nearest import nearest
from .options.dataset_folders import WrongFolderError
from .options.parse import parse
from .options.reference import help_text
from .plan_facts import Facts, facts_of
from .preflight import Asker, examine_all
from .room import check_room, room_of, size_of

SHOWN = 12
PROGRAM = "python launch.py plan"
HELP = ("-h", "--help")


def main(argv: Sequence[str]) -> int:
    """Print the plan of a command; `--json` for programs."""
    words = [word for word in argv if word != "--json"]
    as_json = len(words) < len(argv)
    if words and words[0] in HELP:
        print(_overview())
        return 0
    try:
        name, *rest = _with_command(words)
    except UsageError as problem:
        print(problem, file=sys.stderr)
        return problem.code
    if any(word in HELP for word in rest):
        print(help_text(COMMANDS[name].title, COMMANDS[name].groups, f"{PROGRAM} {name} [--json]"))
        return 0
    facts, problems = plan(name, rest)
    print(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else plan_text(facts))
    return SeveralProblems(problems.errors).code if problems.errors else 0


def plan(name: str, argv: Sequence[str]) -> tuple[Facts, Problems]:
    """The facts about a run, and what is wrong with it.

    Args:
        name: key of COMMANDS.
        argv: its command line.
    """
    problems = Problems()
    command = COMMANDS[name]
    settings = parse(name, command.groups, argv, problems).settings
    # Where there is no torch, another environment will train, and nothing follows from what this one lacks.
    asker = Asker(trains_here=importlib.util.find_spec("torch") is not None)
    found = examine_all(command, settings, problems, asker=asker)
    room = room_of(found, size_of(found))
    check_room(room, problems)
    facts = {
        "command": name,
        "title": command.title,
        **facts_of(found),
        "warnings": problems.warnings,
        "problems": [error.as_dict() for error in problems.errors],
        "corrected_command": corrected_command(name, argv, problems.errors),
    }
    return facts, problems


def corrected_command(name: str, argv: Sequence[str], errors: Sequence[UserError]) -> str | None:
    """The same command line with the folders that were probably meant, or None when no folder was mistaken."""
    words = list(argv)
    mistaken = [error for error in errors if isinstance(error, WrongFolderError) and error.instead is not None]
    for error in mistaken:
        words = _replaced(words, error.option, str(error.instead))
    return _joined([*PROGRAM.split(), name, *words]) if mistaken else None


def _overview() -> str:
    """What the plan is for, and of which commands."""
    width = max(map(len, COMMANDS))
    commands = [f"  {name:{width}}  {command.title}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND --… [--json]",
            "",
            "Says what a run would do, with all of its problems at once: pictures, captions, buckets, steps, files",
            "and room. No model is loaded and nothing is written. Give the command line of the training as it is.",
            "",
            *commands,
            "",
            f"{PROGRAM} COMMAND --help lists the options of a command.",
        ]
    )


def _with_command(words: list[str]) -> list[str]:
    if words and words[0] in COMMANDS:
        return words
    given = words[0] if words else ""
    close = nearest(given, COMMANDS)
    raise UsageError(
        where=given,
        what="The plan needs the name of a command first.",
        fix=f"Write {PROGRAM} {close or next(iter(COMMANDS))} --…",
    )


def _replaced(words: list[str], option: str, value: str) -> list[str]:
    """The words with the value of one option exchanged; added when it came from a config file."""
    result: list[str] = []
    rest = list(words)
    done = False
    while rest:
        word = rest.pop(0)
        key, equals, _ = word.partition("=")
        if len(key) > len("--") and f"--{option}".startswith(key):
            if not equals and rest:
                rest.pop(0)
            result.append(f"--{option}={value}")
            done = True
        else:
            result.append(word)
    return result if done else [*result, f"--{option}={value}"]


def _joined(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def plan_text(facts: Facts) -> str:
    """The plan for a person."""
    lines = [f"Plan of {facts['command']}: {facts['title']}."]
    for number, dataset in enumerate(facts["data"], 1):
        lines += ["", f"Pictures{f' of dataset {number}' if len(facts['data']) > 1 else ''}", *_dataset_lines(dataset)]
    lines += _section("Prompts", [_pair_line(pair) for pair in facts["pairs"]])
    lines += _section("Length", _length_lines(facts))
    lines += _section("Training", _training_lines(facts["training"]))
    lines += _section(f"Files in {facts['disk']['output_dir']}", _file_lines(facts["files"]))
    lines += _section("Disk", _disk_lines(facts["disk"]))
    lines += _section("Notes", facts["notes"])
    lines += _section("Warnings", facts["warnings"])
    lines += _section(f"Problems ({len(facts['problems'])})", [_problem_line(one) for one in facts["problems"]])
    if facts["corrected_command"]:
        lines += _section("Probably meant", [facts["corrected_command"]])
    if not facts["problems"]:
        lines += ["", "Nothing stands in the way of this run."]
    return "\n".join(lines)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)] if lines else []


def _dataset_lines(dataset: Facts) -> list[str]:
    width, height = dataset["resolution"]
    lines = [
        f"  {subset['folder']}: {subset['images']} pictures × {subset['repeats']} repeats"
        + (" (regularization)" if subset["is_reg"] else "")
        + (f", class {subset['class_tokens']!r}" if subset["class_tokens"] else "")
        + (f", each with its pair in {subset['paired_with']}" if subset["paired_with"] else "")
        for subset in dataset["subsets"]
    ]
    captions = dataset["captions"]
    lines.append("  captions from: " + (_counts(captions["by_source"]) or "nothing"))
    lines.append("  caption files found: " + (_counts(captions["found_by_extension"]) or "none"))
    if captions["missing"]:
        lines.append(f"  without the caption file asked for: {_some(captions['missing'])}")
    kind = "buckets" if dataset["enable_bucket"] else "one size"
    lines.append(
        f"  resolution {width}x{height}, {kind}: {_some([f'{k} ×{n}' for k, n in dataset['buckets'].items()])}"
    )
    lines.append(
        f"  per epoch: {dataset['train_images']} training, {dataset['reg_images']} regularization; "
        f"held out for validation: {dataset['validation_images']}"
    )
    return lines


def _pair_line(pair: Facts) -> str:
    """`erase 'circle', seen from '' and begun at '', at strength +1: 64x64, batch 4`."""
    height, width = pair["resolution_hw"]
    target = "" if pair["target"] == pair["positive"] else f" in {pair['target']!r}"
    return (
        f"{pair['action']} {pair['positive']!r}{target}, seen from {pair['unconditional']!r} and begun at "
        f"{pair['neutral']!r}, at strength {pair['multiplier']:+g}: {width}x{height}, batch {pair['batch_size']}"
    )


def _length_lines(facts: Facts) -> list[str]:
    length = facts["length"]
    if length is None:
        return []
    if facts["pairs"]:
        return [f"{length['max_train_steps']} steps"]
    sizes = sorted({dataset["batch_size"] for dataset in facts["data"]})
    return [
        f"{length['batches_per_epoch']} batches of up to {' or '.join(map(str, sizes))} per epoch",
        f"{length['steps_per_epoch']} steps per epoch, {length['max_train_steps']} steps in all, "
        f"{length['num_epochs']} epochs",
    ]


def _training_lines(training: Facts) -> list[str]:
    model = training["base_model"] or "no base model"
    parts = [
        f"{name} (learning rate {' and '.join(f'{rate:g}' for rate in rates)}"
        + (f", {training[f'{key}_layers']} layers)" if training[f"{key}_layers"] is not None else ")")
        for key, name, rates in (
            ("unet", "U-Net", [training["unet_lr"]]),
            ("text_encoder", "text encoder", training["text_encoder_lrs"]),
        )
        if training[key]
    ]
    lines = [
        f"{model}{': ' + training['base_model_is'] if training['base_model_is'] else ''}",
        f"{_network_words(training)}, on: {' and '.join(parts) or 'nothing'}",
        f"{training['optimizer']}, schedule {training['lr_scheduler']}, warm-up {training['lr_warmup_steps']}, "
        f"precision {training['mixed_precision']}, accumulation {training['gradient_accumulation_steps']}",
    ]
    if training["numbers"] is not None:
        lines.append(f"{training['numbers']:,} numbers are trained")
    return lines


def _network_words(training: Facts) -> str:
    if training["cond_emb_dim"] is not None:
        return f"ControlNet-LLLite, {training['cond_emb_dim']} control channels, width {training['rank']}"
    name, rank = training["network_module"] or "no network", training["rank"] or "of its own"
    return f"{name}, rank {rank}, alpha {training['alpha']:g}"


def _file_lines(files: Sequence[Facts]) -> list[str]:
    lines = []
    for file in files:
        gone = f", removed after step {file['removed_after_step']}" if file["removed_after_step"] is not None else ""
        lines.append(f"{file['name']}{'/' if file['is_state'] else ''} after step {file['after_step']}{gone}")
    if len(lines) > SHOWN:
        half = SHOWN // 2
        lines = [*lines[:half], f"… {len(lines) - 2 * half} more …", *lines[-half:]]
    return lines


def _disk_lines(disk: Facts) -> list[str]:
    if disk["output_bytes"] is None:
        lines = ["the size of the files is known when the model is loaded"]
    else:
        lines = [
            f"{size_text(disk['file_bytes'])} a file, {size_text(disk['output_bytes'])} at most at the same time; "
            f"{size_text(disk['output_free'])} are free"
        ]
    if disk["cache_bytes"]:
        lines.append(
            f"cache in {disk['cache_dir']}: {size_text(disk['cache_bytes'])}; {size_text(disk['cache_free'])} are free"
        )
    return lines


def _problem_line(problem: Facts) -> str:
    head = f"{problem['where']}: {problem['what']}" if problem["where"] else str(problem["what"])
    return "\n    ".join([head, *(str(problem[key]) for key in ("why", "fix") if problem[key])])


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
