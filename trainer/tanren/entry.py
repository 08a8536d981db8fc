"""From a command line to an exit code: parse, look at everything, report all problems, run the recipe.

Expected problems are shown without a traceback and end with the code of their class; a fault of ours keeps its
traceback and ends with 1. torch is imported only after the settings have been found good.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from .checkpoint.names import FINAL_WORD
from .commands import COMMANDS, Command
from .console import Terminal
from .disk import probe_writable
from .errors import (
    BusyError,
    EnvironmentProblem,
    Problems,
    SeveralProblems,
    StoppedOnRequest,
    StorageError,
    UsageError,
    UserError,
)
from .events import Report
from .files import write_text
from .folders import leftovers_in, sweep
from .hub.states import with_state_here
from .hub.uploads import uploading
from .jobs.folder import SPEC, Spec, read_spec
from .jobs.job import RunningJob, lock_device, lock_output, open_job, options_of_attempt, spec_of
from .locks import Lock
from .logs import also_log_to, end_logging, is_main_process, known_secrets, set_up_logging
from .masking import mask
from .memory_hints import memory_problem
from .models.hub import is_hub_id
from .options.config import ConfigOptions
from .options.dataset import DatasetOptions
from .options.distributed import DistributedOptions
from .options.job import JobOptions
from .options.model import ModelOptions
from .options.parse import ParsedRun, config_path, effective_config, parse, parse_spec
from .options.reference import help_text
from .options.saving import SavingOptions
from .options.spec import Settings
from .paths import data_folder
from .preflight import Asker, Preflight, examine_all, process_count
from .room import check_room, room_of, size_of
from .stop_signals import StopOnSignal

log = logging.getLogger("tanren")
FAULT, INTERRUPTED = 1, 130
FULL_LIST = "problems.txt"
# Options that say where a job is, not what it does.
OF_THE_START = frozenset(("job_dir", "data_dir"))


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
    session = Session(command)
    try:
        session.run(words)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last line of defence tells every kind
        return session.fail(error)
    return session.close(0, "", None)


class Session:
    """One run of a command, from its words to its end."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.chosen = COMMANDS[command]
        self.signals = StopOnSignal(is_launched=process_count() > 1)
        self.report = Report(asked=self.signals.asked)
        self._job: RunningJob | None = None
        self._output_lock: Lock | None = None
        # Held until the process is gone, and with it what it keeps in the device's memory.
        self._device_lock: Lock | None = None
        self.is_training = self._has_joined = False
        self._data_dir: str | None = None

    def run(self, words: list[str]) -> None:
        """Do what the words say; raises what ends the run."""
        problems = Problems()
        parsed, spec = self._settings(words, problems)
        settings = parsed.settings
        set_up_logging(settings)
        terminal = Terminal(settings)
        if is_main_process():
            self.report.add_sink(terminal)
        if settings[ConfigOptions].output_config:
            problems.raise_if_any()
            _write_config(parsed, self.chosen)
            return
        self._become_job(settings, spec, problems)
        if is_main_process():
            self._clear_output(settings[SavingOptions])
        found = self._examined(settings, problems, is_typed=spec is None)
        if settings[DatasetOptions].debug_dataset:
            _list_dataset(found)
            return
        if is_main_process():
            self._take_output(settings[SavingOptions])
        self.is_training = True
        with self.signals, terminal.bars():
            if is_main_process():
                with uploading(found.settings, self.report, processes=process_count()):
                    self._train(found)
            else:
                self._train(found)

    def fail(self, error: BaseException) -> int:
        """Tell why the run ended, close it, and return the exit code."""
        problem: UserError | None = None
        self._tell_others(error)
        if isinstance(error, UserError):
            code, reason, problem = error.code, error.what, error
            self.report.problem(error)
            # What the settings lack, every process of a run finds; one of them says it.
            if self.is_training or is_main_process():
                _show(error)
                self.keep_full_list(error)
        elif isinstance(error, StoppedOnRequest):
            code, reason = error.code, str(error) or "Stopped on request; what is needed to go on was saved."
            log.warning("%s", reason)
        elif isinstance(error, KeyboardInterrupt):
            code, reason = INTERRUPTED, "Interrupted."
            log.error("%s", reason)
        else:
            # Whatever else arrives here is a fault of ours.
            code, reason = FAULT, f"Internal fault: {error!r}"
            text = "This is a fault of the trainer, not of your settings. Please report it with these lines:"
            log.error(text, exc_info=error)
        return self.close(code, reason, problem)

    def close(self, code: int, reason: str, problem: UserError | None) -> int:
        """Write how the run ended, free its locks, and return the exit code."""
        try:
            if self._output_lock is not None:
                self._output_lock.release()
            if self._job is not None:
                self._job.finish(code, reason=reason, problem=problem)
        except UserError as error:
            _show(error)
            code = code or error.code
        finally:
            end_logging()
        return code

    def keep_full_list(self, problem: UserError) -> None:
        """Write all problems to a file when the text leaves some out."""
        if not isinstance(problem, SeveralProblems) or not problem.is_cut:
            return
        # The run has failed for another reason, which has been told.
        with contextlib.suppress(UserError, OSError):
            folder = data_folder(self._data_dir)
            folder.mkdir(parents=True, exist_ok=True)
            path = write_text(folder / FULL_LIST, mask(problem.full_text) + "\n", sync=False)
            log.error("All %d stand in %s", len(problem.problems), path)

    def _settings(self, words: list[str], problems: Problems) -> tuple[ParsedRun, Spec | None]:
        """The settings, and the spec that they come from when a job was made elsewhere."""
        parsed = parse(self.command, self.chosen.groups, words, problems)
        folder, self._data_dir = parsed.settings[JobOptions].job_dir, parsed.settings[JobOptions].data_dir
        if folder is None or parsed.settings.given - OF_THE_START or problems.errors:
            return parsed, None
        spec = read_spec(Path(folder))
        if spec is None:
            return parsed, None
        if spec.command != self.command:
            what = f"The job is one of {spec.command}, not of {self.command}."
            raise UsageError(where=f"--job_dir {folder}", what=what, fix=f"Start it with {spec.command}.py.")
        given = {name: parsed.settings.flat()[name] for name in parsed.settings.given}
        where, options = str(Path(folder) / SPEC), options_of_attempt(Path(folder), spec)
        return parse_spec(self.command, self.chosen.groups, {**options, **given}, where, problems), spec

    def _become_job(self, settings: Settings, spec: Spec | None, problems: Problems) -> None:
        """Take the job's lock before anything slow happens; words that cannot be read never become a job."""
        folder = settings[JobOptions].job_dir
        if folder is None or not is_main_process():
            return
        if spec is None:
            problems.raise_if_any()
        job = open_job(Path(folder), spec or spec_of(settings), known_secrets=known_secrets(settings))
        self._job = job
        self.report.add_sink(job.sink)
        self.signals.listen(job.asked)
        if job.is_by_hand:
            also_log_to(job.log_path, settings)
        else:
            self._device_lock = lock_device()

    def _clear_output(self, saving: SavingOptions) -> None:
        """Deal with what a killed run left half written among the results, before a state is looked for there."""
        if saving.output_dir is None or not leftovers_in(folder := Path(saving.output_dir)):
            return
        # A run that writes there now is told of later; what it writes is left alone.
        with contextlib.suppress(BusyError, StorageError), lock_output(folder, _output_name(saving)) as lock:
            swept = sweep(folder, float(lock.info["time"]))
            if swept:
                self.report.note(f"{folder}: {swept} leftovers of a killed run were dealt with.")

    def _examined(self, settings: Settings, problems: Problems, *, is_typed: bool) -> Preflight:
        """Look at everything; warnings are told, problems are raised together."""
        asker = Asker(
            typed_at_shell=is_typed,
            processes=process_count(),
            fetch=partial(with_state_here, report=self.report),
        )
        found = examine_all(self.chosen, settings, problems, self.report, asker)
        check_room(room_of(found, size_of(found)), problems)
        for warning in problems.warnings:
            self.report.warning(warning)
        for note in found.scan.all_notes:
            self.report.note(note)
        problems.raise_if_any()
        return found

    def _take_output(self, saving: SavingOptions) -> None:
        """Make sure that the results can be written, and that no other run writes the same ones."""
        folder = Path(saving.output_dir or ".")
        probe_writable(folder)
        self._output_lock = lock_output(folder, _output_name(saving))

    def _train(self, found: Preflight) -> None:
        stay_offline(found.settings[ModelOptions])
        self.report.tell("phase", name="import", done=0, total=None)
        family = import_part(self.chosen.family).FAMILY
        recipe = import_part(self.chosen.recipe)
        together = import_part(".engine.together")
        self._has_joined = True
        with together.joined(found.settings[DistributedOptions], self.report, self._give_up) as processes:
            try:
                recipe.run(family, found.settings, found.scan, self.report, processes)
            except (MemoryError, RuntimeError) as error:
                problem = memory_problem(error, found.settings)
                if problem is None:
                    raise
                raise problem from error

    def _tell_others(self, error: BaseException) -> None:
        """Let the processes that wait for this one to join know why it never will."""
        if process_count() == 1 or self._has_joined or (is_main_process() and not self.is_training):
            return
        # Without torch none of them waits.
        with contextlib.suppress(UserError):
            import_part(".engine.together").tell_before_joining(error)

    def _give_up(self, error: Exception) -> None:
        """End at once, from another thread: the training waits for a process that is gone, and cannot be woken."""
        os._exit(self.fail(error))


def _output_name(saving: SavingOptions) -> str:
    return saving.output_name or FINAL_WORD


def stay_offline(options: ModelOptions) -> None:
    """Keep libraries from asking the hub for anything, unless a model is named by its hub id."""
    names = (options.pretrained_model_name_or_path, options.vae)
    if any(name and is_hub_id(name) and not Path(name).exists() for name in names):
        return
    # Read by huggingface_hub when it is imported, which happens with the family.
    os.environ["HF_HUB_OFFLINE"] = "1"


def import_part(module: str) -> ModuleType:
    """A family or a recipe, named relative to the package; these import torch.

    Raises:
        EnvironmentProblem: a package is missing or broken.
    """
    try:
        return import_module(module, __package__)
    except (ImportError, OSError) as error:
        # A torch whose libraries do not fit raises OSError. What we cannot import of our own is our fault.
        if (getattr(error, "name", None) or "").partition(".")[0] == __package__:
            raise
        raise EnvironmentProblem(
            what="The packages the trainer needs cannot be imported.",
            why=str(error),
            fix="`python launch.py setup --repair` makes its environment anew; `python launch.py doctor` tells more.",
        ) from error


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
