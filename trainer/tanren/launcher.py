"""What `python launch.py …` and the `tanren` script do: sub-commands, each handed to the right interpreter.

From a checkout the trainers run in the managed environment, which is made on first use. As an installed package there
is only one environment, the one it was installed into. Light things (help, doctor, plan) need neither.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import __version__, hardware
from .child_process import child_environment, replace_process
from .commands import COMMANDS, GENERATORS
from .environment import Environment, managed_environment, status
from .environment_setup import ensure
from .errors import EnvironmentProblem, UsageError, UserError
from .paths import package_folder, repository_folder
from .pins import INDIRECT, TRAINER, Pins, read_pins

TEST_SECTIONS = ("test", "optimizers", "lycoris", "wandb", "tagging")
TRAINER_FOLDER = package_folder().parent
UI = "ui"
# What opening a browser on the user's desktop needs beside what every child gets.
OF_THE_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS", "BROWSER", "SSH_CONNECTION")


@dataclass(frozen=True)
class Start:
    """How this start was asked for.

    Args:
        managed: True from `launch.py`: trainers run in an environment of their own.
        yes: install without asking.
    """

    managed: bool
    yes: bool

    @property
    def program(self) -> str:
        """What the user types in front of a sub-command."""
        return "python launch.py" if self.managed else "tanren"


@dataclass(frozen=True)
class SubCommand:
    """One word after `launch.py`."""

    run: Callable[[list[str], Start], int]
    summary: str


def main(arguments: Sequence[str], *, managed: bool = True) -> int:
    """Run one sub-command and return its exit code (errors.py lists them); without one, open the page."""
    words = list(arguments)
    try:
        start, words = _options_in_front(words, managed)
        if words and words[0] in ("-h", "--help", "help"):
            print(_help(start))
            return 0
        if words and words[0] == "--version":
            print(f"Tanren {__version__}")
            return 0
        if not words or words[0].startswith("-"):
            words = [UI, *words]
        code = _sub_command(words[0], start).run(words[1:], start)
        sys.stdout.flush()
        return code
    except UserError as problem:
        print(problem, file=sys.stderr)
        return problem.code
    except BrokenPipeError:
        # `… | head` closes the pipe early; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("Interrupted. Starting again continues or repairs what was begun.", file=sys.stderr)
        return 130


def installed_main() -> int:
    """The `tanren` script: the same sub-commands in the environment that Tanren was installed into."""
    return main(sys.argv[1:], managed=False)


def _options_in_front(words: list[str], managed: bool) -> tuple[Start, list[str]]:
    """`--yes` anywhere, `--data-dir` before the sub-command (trainers have an option of that name themselves)."""
    yes = "--yes" in words
    words = [word for word in words if word != "--yes"]
    while words and words[0].startswith(("--data-dir", "--data_dir")):
        _, equals, value = words.pop(0).partition("=")
        if not equals:
            if not words:
                raise UsageError(where="--data-dir", what="A folder is missing behind it.")
            value = words.pop(0)
        os.environ["TANREN_DATA"] = str(Path(value).expanduser().absolute())
    return Start(managed, yes), words


def _sub_command(name: str, start: Start) -> SubCommand:
    table = _table()
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1)
    raise UsageError(
        where=name,
        what="There is no such command.",
        fix=f"Did you mean {near[0]}?" if near else f"`{start.program} --help` lists the commands.",
    )


def _table() -> dict[str, SubCommand]:
    own = {
        UI: SubCommand(_ui, "open the page in a browser; the same as no command (--listen, --port, --headless …)"),
        "demo": SubCommand(_demo, "train a LoRA on the embedded model and show the result, in minutes on a CPU"),
        "test": SubCommand(_test, "check the code and run the tests (--proof: the long ones too)"),
        "setup": SubCommand(_setup, "only make or repair the trainer's environment (--with NAME adds packages)"),
        "doctor": SubCommand(_doctor, "say what this machine can do (--json)"),
        "plan": SubCommand(_plan, "say what a run would do, without loading a model: plan train_network --…"),
        "micro-model": SubCommand(_micro_model, "write an embedded model: micro-model sd15 OUT.safetensors"),
        "meta": SubCommand(
            _meta, "look into model files, edit what they say: meta show|edit|undo|diff|scrub|verify|norms"
        ),
        "data": SubCommand(_data, "prepare pictures and captions: data scan|tag|edit|resize|mask|regularize|undo …"),
        "convert": SubCommand(_convert, "prompt lists of other programs: convert leco OLD.yaml NEW.toml"),
    }
    trainers = {name: SubCommand(_trainer_called(name), command.title) for name, command in COMMANDS.items()}
    generators = {name: SubCommand(_generator_called(name), command.title) for name, command in GENERATORS.items()}
    return {**own, **trainers, **generators}


def _help(start: Start) -> str:
    rows = [f"  {name:<15} {command.summary}" for name, command in _table().items()]
    return "\n".join(
        [
            f"Tanren {__version__}: train LoRAs for Stable Diffusion.",
            "",
            f"Usage: {start.program} [--yes] [--data-dir FOLDER] [COMMAND] [flags]",
            "",
            *rows,
            "",
            "  --yes           never ask; --data-dir keeps runs and caches elsewhere (TANREN_DATA does, too)",
            f"  `{start.program} COMMAND --help` shows the flags of a command.",
        ]
    )


def _ui(words: list[str], start: Start) -> int:
    """Flags are read here too: nobody should wait for an installation to hear of a typing error."""
    from .ui.server_options import TOKEN_VARIABLE, read_server_options, without_token

    read_server_options(words, os.environ, program=start.program)
    words, token = without_token(words)
    added = {name: os.environ[name] for name in OF_THE_DESKTOP if name in os.environ}
    added |= {TOKEN_VARIABLE: token} if token else {}
    python = _ready_environment(start).python if start.managed else Path(sys.executable)
    return _replace_with(python, ["-m", "tanren.ui.server", *words], **added)


def _setup(words: list[str], start: Start) -> int:
    parser = argparse.ArgumentParser(prog=f"{start.program} setup", description="Make or repair the environment.")
    parser.add_argument("--with", dest="sections", default="", metavar="NAMES", help="more packages, by comma")
    parser.add_argument("--repair", action="store_true", help="make it anew even when nothing wrong is seen")
    parser.add_argument("--torch", choices=hardware.BUILD_NAMES, help="this build of torch, not the one that fits")
    chosen = parser.parse_args(words)
    if not start.managed:
        print("Installed with pip: this environment is the trainer's, there is nothing to set up.")
        return 0
    environment, pins = managed_environment(), _pins()
    sections = [name.strip() for name in chosen.sections.split(",") if name.strip()]
    known = [name for name in pins.sections if name not in (TRAINER, INDIRECT)]
    for name in sections:
        if name not in known:
            raise UsageError(where=f"--with {name}", what="There is no such set.", fix="Sets: " + ", ".join(known))
    ensure(environment, pins, sections, agree=_agree(start), torch_build=chosen.torch, repair=chosen.repair)
    print(f"The trainer's environment is ready: {environment.folder}")
    return 0


def _demo(words: list[str], start: Start) -> int:
    return _run_module("tanren.micro.demo", words, start)


def _micro_model(words: list[str], start: Start) -> int:
    return _run_module("tanren.micro.export", words, start)


def _convert(words: list[str], start: Start) -> int:
    return _run_module("tanren.convert", words, start)


def _meta(words: list[str], start: Start) -> int:
    """Everything but the norms of the weights is read by whatever Python this is."""
    if words[:1] == ["norms"]:
        return _run_module("tanren.networks.update_norms", words[1:], start)
    from . import meta

    return meta.main(words)


def _test(words: list[str], start: Start) -> int:
    if repository_folder() is None:
        raise EnvironmentProblem(
            what="The tests are not part of the installed package.",
            fix="Clone the repository and run `python launch.py test` there.",
        )
    return _run_module("tanren.verification", words, start, TEST_SECTIONS)


def _doctor(words: list[str], start: Start) -> int:
    from . import doctor

    return doctor.main(words, managed=start.managed)


def _plan(words: list[str], start: Start) -> int:
    return _with_pillow("plan", words, start)


def _data(words: list[str], start: Start) -> int:
    """Most of it needs Pillow alone; what runs models waits for the trainer's environment."""
    from . import data_command

    if not words or words[0].startswith("-"):
        return data_command.main(words)
    if data_command.command_named(words[0]).needs_trainer(words[1:]):
        return _run_module("tanren.data_command", words, start, data_command.sections_for(words))
    return _with_pillow("data_command", words, start)


def _with_pillow(module: str, words: list[str], start: Start) -> int:
    """Run a module that reads pictures: in the managed environment when it is there, else in this Python."""
    has_pillow = importlib.util.find_spec("PIL") is not None
    # Help comes sooner from this Python, where it can.
    if start.managed and not (has_pillow and _asks_for_help(words)):
        environment = managed_environment()
        if status(environment, _pins()).state == "ready":
            return _replace_with(environment.python, ["-m", f"tanren.{module}", *words])
    if not has_pillow:
        raise EnvironmentProblem(
            what="Pictures are read with Pillow, which this Python does not have.",
            fix=f"`{start.program} setup` makes an environment that has it.",
        )
    code: int = importlib.import_module(f".{module}", __package__).main(words)
    return code


def _trainer_called(name: str) -> Callable[[list[str], Start], int]:
    def run(words: list[str], start: Start) -> int:
        if not start.managed or _asks_for_help(words):
            from . import entry

            return entry.main(name, words)
        environment = _ready_environment(start)
        return _replace_with(environment.python, [str(TRAINER_FOLDER / f"{name}.py"), *words])

    return run


def _generator_called(name: str) -> Callable[[list[str], Start], int]:
    def run(words: list[str], start: Start) -> int:
        if not start.managed or _asks_for_help(words):
            from . import generate

            return generate.main(name, words)
        environment = _ready_environment(start)
        return _replace_with(environment.python, [str(TRAINER_FOLDER / f"{name}.py"), *words])

    return run


def _run_module(module: str, words: list[str], start: Start, sections: Sequence[str] = ()) -> int:
    if _asks_for_help(words) or not start.managed:
        return _replace_with(Path(sys.executable), ["-m", module, *words])
    return _replace_with(_ready_environment(start, sections).python, ["-m", module, *words])


def _asks_for_help(words: Sequence[str]) -> bool:
    return any(word in ("-h", "--help") for word in words)


def _replace_with(python: Path, words: list[str], **added: str) -> int:
    # `-m` finds the package through PYTHONPATH: nothing of ours is installed into the environment.
    return replace_process([python, *words], child_environment(os.environ, PYTHONPATH=str(TRAINER_FOLDER), **added))


def _ready_environment(start: Start, sections: Sequence[str] = ()) -> Environment:
    environment = managed_environment()
    ensure(environment, _pins(), sections, agree=_agree(start))
    return environment


def _pins() -> Pins:
    return read_pins(TRAINER_FOLDER.parent / "pins.txt")


def _agree(start: Start) -> Callable[[str], bool]:
    """Show the plan; ask only a person at a terminal who has not said --yes."""

    def agree(plan: str) -> bool:
        print(plan)
        if start.yes or not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
            return True
        return input("Continue? [Y/n] ").strip().lower() in ("", "y", "yes")

    return agree
