"""All jobs of a data folder: `<data>/runs/<time>-<name>/`, each found again by whoever looks.

Nothing is kept in memory that is not on disk: a UI can be closed, killed, or opened twice. What changes the queue
happens under `<data>/runs/.queue.lock`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..commands import COMMANDS
from ..disk import TEMP_PREFIX, storage_error
from ..errors import UsageError
from ..files import sync_folder, write_text
from ..folders import sweep
from ..locks import Lock
from ..options.contents import frozen
from ..options.parse import options_by_name
from .derived import QUEUED
from .devices import check_device
from .envelope import Envelope, write_envelope
from .folder import Spec, is_job, write_spec
from .shelved import Job

__all__ = ["Job", "Shelf"]

QUEUE_LOCK = ".queue.lock"
PATIENCE_SECONDS = 20.0
SLUG_BYTES, NAME_LENGTH, REQUEST_LENGTH = 120, 200, 200
FORBIDDEN = frozenset('<>:"/\\|?*')
BORDERS_SECONDS = 0.5
# What is set with a job's place, not in its settings.
NOT_IN_SPEC = ("job_dir", "data_dir", "config_file", "output_config")


class Shelf:
    """The jobs of one data folder.

    Args:
        data_dir: made when missing, once a job is submitted.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.runs, self.trash = self.data_dir / "runs", self.data_dir / "trash"
        self._jobs: dict[str, Job] = {}
        self._guard = threading.Lock()
        self._held = threading.local()
        self._borders: tuple[float, tuple[int, int]] | None = None

    def all(self) -> list[Job]:
        """Every job, the newest first; what is not a job's folder is passed over."""
        try:
            with os.scandir(self.runs) as entries:
                names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
        except OSError:
            return []
        with self._guard:
            known = {name: self._jobs.get(name) for name in names}
            self._jobs = {
                name: job or Job(self, self.runs / name)
                for name, job in known.items()
                if job is not None or is_job(self.runs / name)
            }
            return [self._jobs[name] for name in sorted(self._jobs, reverse=True)]

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            UsageError: there is none of that id.
        """
        found = next((job for job in self.all() if job.id == job_id), None)
        if found is None:
            raise UsageError(where=str(job_id)[:REQUEST_LENGTH], what="There is no such job.", fix="It may be deleted.")
        return found

    def queue(self) -> list[Job]:
        """Jobs that wait to be started, the next one first."""
        return waiting_of(self.all())

    def queue_borders(self) -> tuple[int, int]:
        """Order of the first and of the last job that waits, for buttons; half a second old at most."""
        now = time.monotonic()
        if self._borders is None or now - self._borders[0] > BORDERS_SECONDS:
            orders = [job.envelope().order for job in self.queue()] or [0]
            self._borders = now, (orders[0], orders[-1])
        return self._borders[1]

    def submit(
        self,
        command: str,
        options: Mapping[str, Any],
        *,
        name: str,
        request_id: str,
        device: str | None = None,
        retry_of: str | None = None,
        is_submitted: bool = True,
    ) -> Job:
        """Freeze settings into a new job and put it at the end of the queue.

        Args:
            command: such as "train_network".
            options: those that differ from the default, by name, as JSON; a dataset and prompts may stand there as
                content, and files that hold them are copied (`options/contents.py`). Results go to a folder of the
                job's own below the data folder unless `output_dir` says where.
            name: for people; the folder's name is made from it.
            request_id: of the click; the same one again gives the job that is there already.
            device: such as "cuda:1"; None lets the dispatcher choose.
            retry_of: the job that this is a changed copy of.
            is_submitted: False keeps it as a draft.

        Raises:
            UsageError: no such command or option, or a secret among them.
            StorageError: the data folder cannot be written.
        """
        spec = _checked_spec(command, options)
        check_device(device)
        request = str(request_id)[:REQUEST_LENGTH]
        with self.lock() as began:
            known = self._of_request(request)
            if known is not None:
                return known
            sweep(self.runs, began)
            folder = self._free_name(name)
            results = {"output_dir": str(self.default_output(folder.name))}
            envelope = Envelope(
                name=name.strip()[:NAME_LENGTH] or folder.name,
                request_id=request,
                order=self.next_order(),
                is_submitted=is_submitted,
                device=device,
                created=time.time(),
                cwd=str(Path.cwd()),
                retry_of=retry_of,
            )
            given, texts = frozen({**results, **spec.options}, folder)
            self._make(folder, Spec(spec.command, given), envelope, texts)
        return self.get(folder.name)

    @contextlib.contextmanager
    def lock(self) -> Iterator[float]:
        """Hold the queue's lock, again when this thread holds it already; gives the time it was taken.

        Raises:
            BusyError: another process holds it for too long.
            StorageError: the data folder cannot be written.
        """
        held: tuple[int, float] = getattr(self._held, "value", (0, 0.0))
        if held[0]:
            self._held.value = held[0] + 1, held[1]
            try:
                yield held[1]
            finally:
                self._held.value = held
            return
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(self.runs, error) from error
        with Lock(self.runs / QUEUE_LOCK).acquire(what="The queue of jobs", wait=PATIENCE_SECONDS) as lock:
            began = float(lock.info["time"])
            self._held.value = 1, began
            try:
                yield began
            finally:
                self._held.value = 0, 0.0

    def next_order(self) -> int:
        """The number behind everything in the queue; hold the lock."""
        return max((job.envelope().order for job in self.all()), default=0) + 1

    def default_output(self, job_id: str) -> Path:
        """Where a job's results go when its settings do not say: apart from those of other jobs of that name."""
        return self.data_dir / "output" / job_id

    def say_waiting(self, job: Job, problem: Mapping[str, Any] | None) -> None:
        """Note in a queued job why it does not start, for every UI to show; None takes the note away."""
        if job.envelope().waiting == problem:
            return
        with self.lock():
            if job.look().state == QUEUED:
                job.write(replace(job.envelope(), waiting=problem))

    def forget(self, job_id: str) -> None:
        """Drop what is remembered of a job whose folder is gone."""
        with self._guard:
            self._jobs.pop(job_id, None)

    def _of_request(self, request: str) -> Job | None:
        return next((job for job in self.all() if request and job.envelope().request_id == request), None)

    def _free_name(self, name: str) -> Path:
        base = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug_of(name)}"
        folder, number = self.runs / base, 1
        while folder.exists():
            number += 1
            folder = self.runs / f"{base}-{number}"
        return folder

    def _make(self, folder: Path, spec: Spec, envelope: Envelope, texts: Mapping[str, str]) -> None:
        """Make the folder of a job in one move, so that nobody ever sees half of one."""
        part = self.runs / f"{TEMP_PREFIX}{secrets.token_hex(4)}.part"
        try:
            part.mkdir()
            for file, text in texts.items():
                write_text(part / file, text)
            write_spec(part, spec)
            write_envelope(part, envelope)
            part.rename(folder)
            sync_folder(self.runs)
        except OSError as error:
            raise storage_error(folder, error) from error


def waiting_of(jobs: Iterable[Job]) -> list[Job]:
    """Those of some jobs that wait to be started, the next one first."""
    waiting = [job for job in jobs if job.look().state == QUEUED]
    return sorted(waiting, key=lambda job: (job.envelope().order, job.id))


def slug_of(name: str) -> str:
    """The part of a folder's name that a job's name gives: any script, without what file systems refuse."""
    kept = "".join(letter if letter.isprintable() and letter not in FORBIDDEN else "-" for letter in name)
    words = "-".join(kept.replace(".", "-").split())
    cut = words.encode("utf-8")[:SLUG_BYTES].decode("utf-8", "ignore")
    return cut.strip("-. ") or "job"


def _checked_spec(command: str, options: Mapping[str, Any]) -> Spec:
    if command not in COMMANDS:
        raise UsageError(
            where="command", what=f"There is no command {command!r}.", fix=f"Known: {', '.join(COMMANDS)}."
        )
    declared = options_by_name(COMMANDS[command].groups)
    for name in options:
        option = declared.get(name)
        if option is None or name in NOT_IN_SPEC:
            raise UsageError(where=str(name), what="A job has no such option.", fix="Leave it out.")
        if option.text.secret:
            fix = f"Set {option.variable} in the environment that the UI is started from."
            raise UsageError(where=name, what="Secrets are not kept in jobs.", fix=fix)
    try:
        return Spec(command, json.loads(json.dumps(dict(options), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise UsageError(where="options", what="They hold a value that JSON does not have.", why=str(error)) from error
