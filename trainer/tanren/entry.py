"""From a command line to an exit code: parse, look at everything, report all problems, run the recipe.

Expected problems are shown without a traceback and end with the code of their class; a fault of ours keeps its
traceback and ends with 1. torch is imported only after the settings have been found good.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .commands import COMMANDS, Command
from .console import Terminal
from .disk import probe_writable
from .errors import Problems, StoppedOnRequest, UsageError, UserError
from .events import Report
from .files import write_text
from .logs import end_logging, is_main_process, set_up_logging
from .memory_hints import memory_problem
from .options.config import ConfigOptions
from .options.dataset import DatasetOptions
from .options.parse import ParsedRun, config_path, effective_config, parse
from .options.reference import help_text
from .options.saving import SavingOptions
from .options.spec import Settings
from .preflight import Preflight, examine_all, process_count
from .room import check_room, room_of, size_of
from .stop_signals import StopOnSignal

log = logging.getLogger("tanren")
FAULT, INTERRUPTED = 1, 130


def main(command: str, argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code (errors.py lists them).

    Args:
        command: key of COMMANDS.
        argv: words after the program's name; those of this process when not given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if any(word in ("-h", "--help") for word in words):
        chosen = COMMANDS[command]
        # `--help | head` closes the pipe early.
        with contextlib.suppress(BrokenPipeError):
            print(help_text(chosen.title, chosen.groups, f"{command}.py"), flush=True)
        return 0
    signals = StopOnSignal()
    report = Report(asked=signals.asked)
    try:
        _run(command, words, report, signals)
    except UserError as problem:
        report.problem(problem)
        _show(problem)
        return problem.code
    except StoppedOnRequest as stopped:
        log.warning("%s", stopped if stopped.args else "Stopped on request; what is needed to go on was saved.")
        return stopped.code
    except KeyboardInterrupt:
        log.error("Interrupted.")
        return INTERRUPTED
    except Exception:
        # The last line of defence: whatever arrives here is a fault of ours.
        log.exception("This is a fault of the trainer, not of your settings. Please report it with these lines:")
        return FAULT
    finally:
        end_logging()
    return 0


def _run(command: str, words: list[str], report: Report, signals: StopOnSignal) -> None:
    chosen = COMMANDS[command]
    problems = Problems()
    parsed = parse(command, chosen.groups, words, problems)
    settings = parsed.settings
    set_up_logging(settings)
    terminal = Terminal(settings)
    if is_main_process():
        report.add_sink(terminal)
    if settings[ConfigOptions].output_config:
        problems.raise_if_any()
        _write_config(parsed, chosen)
        return
    found = _examined(chosen, settings, problems, report)
    if settings[DatasetOptions].debug_dataset:
        _list_dataset(found)
        return
    if is_main_process():
        probe_writable(Path(settings[SavingOptions].output_dir or "."))
    with signals, terminal.bars():
        _train(chosen, found, report)


def _examined(chosen: Command, settings: Settings, problems: Problems, report: Report) -> Preflight:
    """Look at everything; warnings are told, problems are raised together."""
    found = examine_all(chosen, settings, problems, report, processes=process_count())
    check_room(room_of(found, size_of(found)), problems)
    for warning in problems.warnings:
        report.warning(warning)
    for note in found.scan.notes:
        report.note(note)
    problems.raise_if_any()
    return found


def _train(chosen: Command, found: Preflight, report: Report) -> None:
    family = import_module(chosen.family, __package__).FAMILY
    recipe = import_module(chosen.recipe, __package__)
    try:
        recipe.run(family, found.settings, found.scan, report)
    except (MemoryError, RuntimeError) as error:
        problem = memory_problem(error, found.settings)
        if problem is None:
            raise
        raise problem from error


def _write_config(parsed: ParsedRun, chosen: Command) -> None:
    name = parsed.settings[ConfigOptions].config_file
    if name is None:
        what = "It needs the file to write, named by --config_file."
        raise UsageError(where="--output_config", what=what, fix="Add --config_file=FILE.toml.")
    path = config_path(name)
    if path.exists():
        raise UsageError(where=f"--config_file {path}", what="The file exists already.", fix="Choose another name.")
    write_text(path, effective_config(parsed.settings, chosen.groups))
    log.info("The options were written to %s.", path)


def _list_dataset(found: Preflight) -> None:
    for dataset in found.scan.datasets:
        for image in dataset.images:
            width, height = image.bucket_wh
            print(f"{image.path}\t{width}x{height}\t×{image.repeats}\t{image.caption_source}\t{image.caption!r}")


def _show(problem: UserError) -> None:
    if log.handlers:
        log.error("%s", problem)
    else:
        print(problem, file=sys.stderr)
