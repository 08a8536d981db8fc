"""A run as a job, seen from inside the trainer: its lock, its attempt, what it tells and is asked, how it ended."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..disk import TEMP_PREFIX, storage_error
from ..errors import UsageError, UserError
from ..files import cut_torn_line, write_json
from ..folders import sweep
from ..locks import Lock
from ..options.hub import HubOptions
from ..options.spec import Settings, options_of
from ..options.tracking import ConsoleOptions
from .control import Control
from .derived import COMPLETED, DONE_CODE, FAILED, STOPPED, STOPPED_CODE
from .folder import (
    CHECKPOINTS,
    DEVICE_LOCK_VARIABLE,
    EVENTS,
    LOCK,
    LOG,
    NONCE_VARIABLE,
    RESULT,
    RUNNER,
    Runner,
    Spec,
    has_checkpoint,
    read_object,
    read_runner,
    read_spec,
    write_spec,
)
from .process import this_process
from .sink import JobSink, ready_for_json

# Where the program keeps its files, what the console shows and what is uploaded is no part of what is trained; a job
# that goes on may name a state and be longer.
NOT_IN_SPEC = frozenset(("job_dir", "data_dir", "config_file", "output_config"))
MAY_DIFFER = frozenset(
    (
        *("resume", "allow_changes", "initial_step", "initial_epoch", "skip_until_initial_step"),
        *("max_train_steps", "max_train_epochs"),
        *(option.name for group in (ConsoleOptions, HubOptions) for option in options_of(group)),
    )
)


class RunningJob:
    """The job that this process is; made by `open_job`.

    Args:
        folder: of the job.
        runner: the attempt.
        lock: held until `finish`.
        is_by_hand: nobody spawned this process for the job, so nobody collects its output in `log.txt` either.
        swept: leftovers of killed attempts that were removed.
    """

    def __init__(
        self, folder: Path, runner: Runner, lock: Lock, *, is_by_hand: bool, swept: int, known_secrets: Iterable[str]
    ) -> None:
        self.folder, self.runner, self.is_by_hand, self.swept = folder, runner, is_by_hand, swept
        self.log_path = folder / LOG
        self.sink = JobSink(folder, runner.attempt, known_secrets)
        self._control = Control(folder, runner.attempt)
        self._lock = lock
        self._known_secrets = list(known_secrets)
        self.sink.start()

    def asked(self) -> set[str]:
        """Requests that came in since the last call: for `Report(asked=…)`."""
        return self._control.asked()

    def finish(self, code: int, *, reason: str = "", problem: UserError | None = None, **facts: Any) -> None:
        """Write how the attempt ended, durably and last of all, and let go of the job.

        Args:
            code: exit code.
            reason: one sentence, such as where the result is.
            problem: what went wrong.
            facts: more for the result, such as files and the last step.
        """
        state = {DONE_CODE: COMPLETED, STOPPED_CODE: STOPPED}.get(code, FAILED)
        self.sink({"kind": "ended", "time": time.time(), "state": state, "reason": reason, "code": code})
        self.sink.stop()
        content = {
            "attempt": self.runner.attempt,
            "code": code,
            "state": state,
            "reason": reason,
            "problem": problem.as_dict() if problem else None,
            "time": time.time(),
            **facts,
        }
        try:
            write_json(self.folder / RESULT, ready_for_json(content, self._known_secrets))
        finally:
            self._lock.release()


def open_job(folder: Path, spec: Spec, *, known_secrets: Iterable[str] = ()) -> RunningJob:
    """Make this process the job of a folder, which is made when missing.

    A process that was spawned for an attempt finds the attempt's nonce in its environment; one started by hand begins
    the next attempt itself.

    Args:
        folder: of the job.
        spec: what is trained; must agree with the one in the folder.
        known_secrets: values that are written nowhere.

    Raises:
        BusyError: another process is this job.
        UsageError: the folder belongs to a run with other settings, or to a newer version.
        StorageError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    me = this_process()
    nonce = os.environ.get(NONCE_VARIABLE, "")
    lock = Lock(folder / LOCK, **asdict(me), nonce=nonce, job=folder.name).acquire(what=f"The job {folder.name}")
    try:
        _agree_on_spec(folder, spec)
        runner, is_by_hand = _attempt(folder)
        if is_by_hand:
            write_json(folder / RUNNER, asdict(runner))
        began = float(lock.info["time"])
        swept = sweep(folder, began) + sweep(folder / CHECKPOINTS, began)
        cut_torn_line(folder / EVENTS)
        return RunningJob(folder, runner, lock, is_by_hand=is_by_hand, swept=swept, known_secrets=known_secrets)
    except BaseException:
        lock.release()
        raise


def spec_of(settings: Settings) -> Spec:
    """What a job trains, from settings: everything the user set, without secrets."""
    secret = {option.name for group in settings.groups() for option in options_of(type(group)) if option.text.secret}
    flat = settings.flat()
    names = sorted(name for name in settings.given if name in flat and name not in secret | NOT_IN_SPEC)
    return Spec(settings.command, json.loads(json.dumps({name: flat[name] for name in names})))


def lock_output(folder: Path, name: str) -> Lock:
    """Lock the name of a result, so that two runs do not write the same files.

    Raises:
        BusyError: another run writes them.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    lock = Lock(folder / f"{TEMP_PREFIX}{digest}.lock", is_passing=True, name=name)
    return lock.acquire(what=f"The output name {name!r} in {folder}")


def lock_device() -> Lock | None:
    """Lock the device that this process was given, until it ends; None when it was given none.

    Raises:
        BusyError: another job computes there.
    """
    path = os.environ.get(DEVICE_LOCK_VARIABLE)
    if not path:
        return None
    place = Path(path)
    return Lock(place, nonce=os.environ.get(NONCE_VARIABLE, "")).acquire(what=f"The device {place.stem}")


def options_of_attempt(folder: Path, spec: Spec) -> dict[str, Any]:
    """The options of a spec for the attempt that starts now: once the job has states of its own, it goes on from those,
    not from the one that the spec names for its beginning.
    """
    options = dict(spec.options)
    if has_checkpoint(folder):
        options.pop("resume", None)
        options.pop("resume_from_huggingface", None)
    return options


def _agree_on_spec(folder: Path, spec: Spec) -> None:
    known = read_spec(folder)
    if known is None:
        write_spec(folder, spec)
        return
    changed = _differing(known.options, spec.options)
    if known.command != spec.command:
        changed.insert(0, "the command")
    if changed:
        raise UsageError(
            where=f"--job_dir {folder}",
            what=f"This folder belongs to a run with other settings: {', '.join(changed)}.",
            fix="Choose a new folder, or give the settings of that run.",
        )


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = sorted({*before, *now} - MAY_DIFFER)
    return [name for name in names if before.get(name) != now.get(name)]


def _attempt(folder: Path) -> tuple[Runner, bool]:
    """The attempt this process is, and whether it was started by hand."""
    known = read_runner(folder)
    ended = read_object(folder / RESULT).get("attempt", 0)
    if known is not None and known.nonce == os.environ.get(NONCE_VARIABLE) and known.attempt != ended:
        return known, False
    last = max(known.attempt if known else 0, ended if isinstance(ended, int) else 0)
    me = this_process()
    return Runner(last + 1, secrets.token_hex(8), me.pid, me.started, me.boot), True
