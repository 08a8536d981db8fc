"""`data`: prepare a folder of pictures on the command line; the page's dataset tab does the same.

python launch.py data scan FOLDER          what is in it: captions, tokens, oddities, twins, sizes that will be trained
python launch.py data edit FOLDER --add…   change captions; `data undo` takes the last change back
python launch.py data --help               the others

Whatever changes the user's files goes through the journal (preparation/journal.py); `--dry-run` only shows it.
"""

from __future__ import annotations

import difflib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from .errors import UsageError, UserError
from .library.plain_text import plain

PROGRAM = "data"


@dataclass(frozen=True)
class DataCommand:
    """One word after `data`.

    Args:
        summary: for the list of commands.
        module: below the package; its `main(words)` does the work and returns the exit code.
        needs_trainer: whether these words need what only the trainer's environment has (numpy, models).
    """

    summary: str
    module: str
    needs_trainer: Callable[[Sequence[str]], bool] = lambda words: False


def _lacks_numpy(words: Sequence[str]) -> bool:
    """True when edges are wanted, which need numpy, and this Python has none."""
    kinds = {word.rpartition("=")[2] for word in words}
    return not kinds & {"blur", "grey", "lineart"} and importlib.util.find_spec("numpy") is None


def _asks_a_model(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == "--model" for word in words)


def _always(words: Sequence[str]) -> bool:
    return True


MODELS = "picture_models.__main__"
COMMANDS = {
    "scan": DataCommand("say what a folder of pictures holds", "data_commands.scan"),
    "caption": DataCommand("captions from picture files, folder names or JSON, and into JSON", "data_commands.caption"),
    "edit": DataCommand("change captions: tags, find and replace, encodings", "data_commands.edit"),
    "tag": DataCommand("tags from a WD14 tagger: --model", MODELS, _always),
    "describe": DataCommand("sentences from a captioner such as BLIP: --model", MODELS, _always),
    "resize": DataCommand("copies in another size, format or with another background", "data_commands.pictures"),
    "mask": DataCommand(
        "clean transparency, masks for masked loss; with --model: cut-outs", "data_commands.pictures", _asks_a_model
    ),
    "condition": DataCommand(
        "control pictures: edges, blur, grey, line art; with --model: depth",
        "data_commands.pictures",
        lambda words: _asks_a_model(words) or _lacks_numpy(words),
    ),
    "faces": DataCommand("crops around faces: --model or --boxes", MODELS, _always),
    "regularize": DataCommand("pictures of a class, drawn by the base model, or empty ones", MODELS, _always),
    "pairs": DataCommand("check that pictures and control pictures or masks fit", "data_commands.pictures"),
    "layout": DataCommand("put pictures into a <repeats>_<name> folder", "data_commands.layout"),
    "export": DataCommand("a dataset file, or one archive of everything", "data_commands.layout"),
    "undo": DataCommand("take the last change of files back", "data_commands.history"),
    "redo": DataCommand("make a change that was undone again", "data_commands.history"),
    "history": DataCommand("list the changes, or forget one for good", "data_commands.history"),
}


def main(words: Sequence[str]) -> int:
    """Run one of the commands; returns the exit code (errors.py lists them)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal of another code page shows what it cannot say as \\u1234 instead of failing.
            stream.reconfigure(errors="backslashreplace")
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0 if words else 2
    try:
        code: int = import_module(f".{module_of(words)}", __package__).main(list(words))
        sys.stdout.flush()
    except UserError as problem:
        print(plain(str(problem)), file=sys.stderr)
        return problem.code
    except KeyboardInterrupt:
        print("Interrupted. What was done until then stays; `data undo` takes it back.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `… | head` closes the pipe early; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def command_named(name: str) -> DataCommand:
    """The command of this name.

    Raises:
        UsageError: there is none; the nearest is offered.
    """
    if name in COMMANDS:
        return COMMANDS[name]
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    raise UsageError(
        where=f"{PROGRAM} {name}",
        what="There is no such command.",
        fix=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(COMMANDS)}.",
    )


def module_of(words: Sequence[str]) -> str:
    """The module that does what the words ask for.

    Raises:
        UsageError: there is no such command.
    """
    module = command_named(words[0]).module
    return MODELS if _asks_a_model(words) else module


def sections_for(words: Sequence[str]) -> tuple[str, ...]:
    """Sets of packages that these words need beside the trainer's: onnxruntime for all models but captioners."""
    is_onnx = words[0] in ("tag", "mask", "condition", "faces") and _asks_a_model(words)
    return ("tagging",) if is_onnx else ()


def overview() -> str:
    """The list of commands."""
    rows = [f"  {name:<11} {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "Prepare a folder of pictures for training.",
            "",
            f"Usage: {PROGRAM} COMMAND [flags]      `{PROGRAM} COMMAND --help` shows the flags",
            "",
            *rows,
            "",
            "  Pictures are never overwritten or moved; what is changed can be undone, also later.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
