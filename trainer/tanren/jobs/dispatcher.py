"""Starts queued jobs, one at a time on each device, and looks after those that run.

All that it needs to know is on disk, so a dispatcher that dies is replaced by any later one: of the processes that want
to be it, the one that holds `<data>/locks/dispatcher.lock` is.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..disk import storage_error
from ..errors import BusyError, UserError
from ..locks import Lock, lock_holder
from .derived import FAILED, QUEUED
from .devices import device_environment, device_lock, usable_devices
from .ending import end_attempt, is_left
from .folder import read_runner
from .shelf import Job, Shelf, waiting_of
from .spawn import start_attempt
from .watching import Patience

TICK_SECONDS = 0.5
BUSY_SECONDS, RETRY_SECONDS, LONGEST_SECONDS = 2.0, 5.0, 300.0
BUSY_CODE = BusyError.code
LOCK = "dispatcher.lock"
log = logging.getLogger("tanren.jobs")


class Dispatcher:
    """The thread that starts jobs and looks after them; at most one of a data folder is at work.

    Args:
        shelf: the jobs.
        python: interpreter of the trainer's environment; may raise a `UserError`, which queued jobs then show.
        before_start: called before a job's trainer is started, on its device; a `UserError` keeps the job waiting, and
            is tried again (a `BusyError` while the host generates, say).
        after_end: called when nothing of a job runs any more, however it ended; also for jobs that were taken over.
        devices: what jobs may use, the preferred one first; found when not given.
        paused: jobs that are queued already when it starts wait until `paused` is set to False; later ones do not.
    """

    def __init__(
        self,
        shelf: Shelf,
        python: Callable[[], Path],
        before_start: Callable[[Job], None] = lambda job: None,
        after_end: Callable[[Job], None] = lambda job: None,
        *,
        devices: Sequence[str] | None = None,
        paused: bool = False,
    ) -> None:
        self.shelf = shelf
        self._python, self._before_start, self._after_end = python, before_start, after_end
        self._devices = list(devices) if devices is not None else None
        self._hold_at_start = paused
        self._held: set[tuple[str, int]] = set()
        self._ended = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock: Lock | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._active: dict[str, Job] = {}
        self._not_before: dict[str, float] = {}
        self._tries: dict[str, int] = {}
        self._patience = Patience()

    @property
    def is_at_work(self) -> bool:
        """True when this process is the one that starts jobs."""
        return self._lock is not None

    @property
    def paused(self) -> bool:
        """True while jobs of an earlier time wait for somebody to say that they may start."""
        return bool(self._held) and any(_key(job) in self._held for job in self.shelf.queue())

    @paused.setter
    def paused(self, value: bool) -> None:
        self._held = {_key(job) for job in self.shelf.queue()} if value else set()
        self._tries.clear()
        self._not_before.clear()
        self.wake()

    @property
    def devices(self) -> list[str]:
        """What jobs may use, the preferred one first; found at the first question, which takes a moment."""
        if self._devices is None:
            self._devices = usable_devices()
        return self._devices

    def start(self) -> None:
        """Begin, in a thread of its own."""
        if self._thread is None:
            if self._hold_at_start:
                self.paused = True
            self._thread = threading.Thread(target=self._run, name="tanren dispatcher", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 30.0) -> None:
        """End the thread; trainings go on, and the next dispatcher takes them over."""
        self._ended.set()
        self.wake()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def wake(self) -> None:
        """Look at once instead of within half a second."""
        self._woken.set()

    def tick(self) -> None:
        """Look at every job once, and do what is due."""
        jobs = self.shelf.all()
        self._reap()
        self._look_after([job for job in jobs if job.look().is_active])
        self._queue_busy_ones_again(jobs)
        for job in waiting_of(jobs):
            self._maybe_start(job)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                if self._lock is None:
                    self._take_lock()
                if self._lock is not None:
                    self.tick()
            except UserError as problem:
                log.warning("Jobs are looked after again in a moment: %s", problem)
            except Exception:
                # Whatever it is, the next look may go well; without this thread no job would start any more.
                log.exception("A fault while looking after the jobs:")
            self._woken.wait(TICK_SECONDS)
            self._woken.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _take_lock(self) -> None:
        folder = self.shelf.data_dir / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(folder, error) from error
        # Looked at first: every try to take it would leave something behind in this process.
        if lock_holder(folder / LOCK) is None:
            try:
                self._lock = Lock(folder / LOCK).acquire(what="The queue's dispatcher", wait=0.0)
            except BusyError:
                self._lock = None

    def _reap(self) -> None:
        """Notice children that ended, so that they do not stay as zombies."""
        self._children = [child for child in self._children if child.poll() is None]

    def _look_after(self, active: list[Job]) -> None:
        for job in active:
            self._active.setdefault(job.id, job)
            self._patience.look(job)
        now_active = {job.id for job in active}
        for job_id, job in list(self._active.items()):
            if job_id in now_active or not self._patience.is_gone(job):
                continue
            del self._active[job_id]
            self._patience.forget(job_id)
            self._call(self._after_end, job)

    def _queue_busy_ones_again(self, jobs: list[Job]) -> None:
        """A job that found its device or its output name taken goes back to its place in the queue."""
        for job in jobs:
            look = job.look()
            if look.state == FAILED and look.code == BUSY_CODE and not look.is_active and not look.is_by_hand:
                self._wait_longer(job)
                job.requeue()

    def _maybe_start(self, job: Job) -> None:
        device = job.envelope().device or self.devices[0]
        if _key(job) in self._held or time.monotonic() < self._not_before.get(job.id, 0.0):
            return
        if any((other.device() or self.devices[0]) == device for other in self._active.values()):
            return
        try:
            if lock_holder(device_lock(self.shelf.data_dir, device)) is not None:
                return
            self._start(job, device)
        except BusyError as problem:
            self._not_before[job.id] = time.monotonic() + BUSY_SECONDS
            self.shelf.say_waiting(job, problem.as_dict())
        except UserError as problem:
            self._wait_longer(job)
            self.shelf.say_waiting(job, problem.as_dict())

    def _start(self, job: Job, device: str) -> None:
        python, command = self._python(), job.spec().command
        # The host may need seconds to make room; nobody should wait for the queue's lock meanwhile.
        self._before_start(job)
        is_started = False
        try:
            with self.shelf.lock():
                if job.look().state != QUEUED:
                    return
                runner = read_runner(job.folder)
                if runner is not None and is_left(job.folder, runner):
                    end_attempt(job.folder, at_once=True)
                envelope = job.envelope()
                child = start_attempt(
                    job.folder,
                    envelope.attempt,
                    command,
                    python=python,
                    device=device,
                    variables=device_environment(device, is_asked_for=envelope.device is not None),
                    device_lock=device_lock(self.shelf.data_dir, device),
                    data_dir=self.shelf.data_dir,
                    cwd=envelope.cwd,
                )
                is_started = True
                job.say_started()
            self._children.append(child)
            self._active[job.id] = job
        finally:
            if not is_started:
                self._call(self._after_end, job)

    def _wait_longer(self, job: Job) -> None:
        """Let a job wait, twice as long each time."""
        times = self._tries.get(job.id, 0)
        self._tries[job.id] = times + 1
        self._not_before[job.id] = time.monotonic() + min(LONGEST_SECONDS, RETRY_SECONDS * 2**times)

    def _call(self, hook: Callable[[Job], None], job: Job) -> None:
        try:
            hook(job)
        except UserError as problem:
            log.warning("%s: %s", job.id, problem)
        except Exception:
            # It is the host's code; what goes wrong there must not keep other jobs from starting.
            log.exception("A fault after the job %s:", job.id)


def _key(job: Job) -> tuple[str, int]:
    return job.id, job.envelope().attempt
