"""From the command line of a picture command to an exit code: parse, look at everything, draw.

What a trainer's start has besides (jobs, states, locks) is not needed here; the rules of its report are the same.
torch is imported only after the settings have been found good.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence

from .commands import GENERATORS
from .console import Terminal
from .entry import FAULT, INTERRUPTED, import_part, stay_offline
from .errors import OutOfMemory, Problems, UserError
from .events import Report
from .logs import end_logging, set_up_logging
from .memory_hints import is_out_of_memory
from .options.generating import DrawingModelOptions, DrawingSpeedOptions, OutputOptions
from .options.model import ModelOptions
from .options.parse import parse
from .options.reference import help_text
from .options.spec import Settings
from .paths import resolve_user_path

log = logging.getLogger("tanren")


def main(command: str, argv: Sequence[str] | None = None) -> int:
    """Run a picture command and return its exit code (errors.py lists them).

    Args:
        command: key of GENERATORS.
        argv: words after the program's name; those of this process when not given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = GENERATORS[command]
    if any(word in ("-h", "--help") for word in words):
        # `--help | head` closes the pipe early.
        with contextlib.suppress(BrokenPipeError):
            print(help_text(chosen.title, chosen.groups, f"{command}.py"), flush=True)
        return 0
    try:
        _run(command, words)
    except UserError as problem:
        _tell(str(problem))
        return problem.code
    except KeyboardInterrupt:
        _tell("Interrupted; finished pictures are kept.")
        return INTERRUPTED
    except Exception:
        # The last line of defence tells every kind.
        log.exception("This is a fault of the program, not of your settings. Please report it with these lines:")
        return FAULT
    finally:
        end_logging()
    return 0


def _run(command: str, words: Sequence[str]) -> None:
    # Imported here: help is for a Python without Pillow, too.
    from .generation.check import examine_order

    problems, chosen = Problems(), GENERATORS[command]
    settings = parse(command, chosen.groups, words, problems).settings
    problems.raise_if_any()
    set_up_logging(settings)
    order = examine_order(chosen, settings, problems)
    _check_folder(settings, problems)
    for warning in problems.warnings:
        log.warning("%s", warning)
    problems.raise_if_any()
    terminal = Terminal(settings)
    report = Report([terminal])
    stay_offline(ModelOptions(pretrained_model_name_or_path=order.model, vae=settings[DrawingModelOptions].vae))
    with terminal.bars():
        report.tell("phase", name="import", done=0, total=None)
        family, recipe = import_part(order.base.family).FAMILY, import_part(chosen.recipe)
        try:
            recipe.run(family, settings, order, report)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise _memory_problem(error, settings) from error


def _check_folder(settings: Settings, problems: Problems) -> None:
    try:
        resolve_user_path(settings[OutputOptions].outdir, "new folder", where="--outdir")
    except UserError as problem:
        problems.add(problem)


def _memory_problem(error: BaseException, settings: Settings) -> OutOfMemory:
    model, speed = settings[DrawingModelOptions], settings[DrawingSpeedOptions]
    hints = []
    if not (model.fp16 or model.bf16):
        hints.append("--bf16 or --fp16")
    if speed.batch_size > 1:
        hints += [f"a smaller --batch_size (now {speed.batch_size})", "--vae_batch_size 1"]
    hints.append("smaller pictures")
    why = str(error).partition("\n")[0][:300]
    return OutOfMemory(what="The memory is exhausted.", why=why, fix=f"What would help: {'; '.join(hints)}.")


def _tell(text: str) -> None:
    if log.handlers:
        log.error("%s", text)
    else:
        print(text, file=sys.stderr)
