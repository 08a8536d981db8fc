"""The WebUI's model is lent to a training: put aside before it starts, brought back when it ends in whatever way.

`host-lease.json` in the data folder says that a model is away and for which job. Its owner may die at any moment: a
WebUI that starts while the job still runs puts its model aside again and waits with it; one that starts when nothing
runs has nothing to bring back, since its model is loaded as usual, and removes the file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import BusyError
from ..files import write_json
from ..jobs.folder import RELEASED, read_object
from ..jobs.process import this_process
from ..jobs.shelf import Job, Shelf
from .host import LEASE_MARKER, Released, Surroundings
from .words import Text, text

VERSION = 1
# The next job of the queue may start at once; loading the model in between would be of no use to anybody.
RESTORE_DELAY = 3.0
ATTEMPT_SECONDS = 1.0

log = logging.getLogger("tanren")


class CheckpointLease:
    """Who has the WebUI's memory: the WebUI, or one job.

    Args:
        surroundings: the WebUI, or none.
        delay: seconds after a job before the model comes back.
    """

    def __init__(self, surroundings: Surroundings, delay: float = RESTORE_DELAY) -> None:
        self._surroundings, self._delay = surroundings, delay
        self._marker = surroundings.data_dir / LEASE_MARKER
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None

    @property
    def holder(self) -> str:
        """Id of the job the model is put aside for; empty when it is not."""
        return str(read_object(self._marker).get("job", ""))

    def before_start(self, job: Job) -> None:
        """Make room for a job that is about to start.

        From the first call on, new pictures are refused, so that a WebUI that is always busy comes to an end.

        Raises:
            BusyError: the WebUI is making a picture; ask again in a moment.
        """
        if not self._surroundings.uses_device(job.device()):
            return
        with self._lock:
            self._stop_timer()
            if not self._surroundings.gate.is_closed or self._surroundings.gate.job == job.id:
                self._surroundings.gate.announce(job.id, starts_soon(job.envelope().name))
            released = self._surroundings.release(job.id)
            self._surroundings.gate.close(job.id, being_trained(job.envelope().name))
            self._note(job.id, released)
        if released is not None:
            write_json(job.folder / RELEASED, released.as_dict())

    def after_end(self, job: Job) -> None:
        """Bring the model back, soon; does nothing when it was not put aside for this job."""
        with self._lock:
            if job.id not in (self.holder, self._surroundings.gate.job):
                return
            self._stop_timer()
            self._timer = threading.Timer(self._delay, self.restore)
            self._timer.name, self._timer.daemon = "tanren-restore", True
            self._timer.start()

    def restore(self) -> bool:
        """Bring the model back now; False when there was none to bring back or it could not be loaded."""
        with self._lock:
            self._timer = None
            try:
                return self._surroundings.restore()
            except Exception as error:  # noqa: BLE001 - whatever the WebUI stumbles over, our queue must go on
                # Its file may be gone, its memory too small. It can still be used: its next picture loads a model.
                log.warning("Tanren: the WebUI's model could not be loaded again: %s", error)
                return False
            finally:
                self._marker.unlink(missing_ok=True)

    def adopt(self, running: Iterable[Job]) -> None:
        """Take up what an earlier process left behind; called when the surroundings start.

        Args:
            running: the jobs whose trainers live.
        """
        job = next((job for job in running if self._surroundings.uses_device(job.device())), None)
        if job is None:
            self._marker.unlink(missing_ok=True)
            return
        try:
            self._hold_again(job)
        except BusyError:
            # The WebUI is reading its model for the first time; that cannot be interrupted.
            _repeat(lambda: self._hold_again(job), f"tanren-hold-{job.id}")

    def _hold_again(self, job: Job) -> None:
        with self._lock:
            self._surroundings.gate.close(job.id, being_trained(job.envelope().name))
            self._note(job.id, self._surroundings.release(job.id))

    def _note(self, job: str, released: Released | None) -> None:
        """Write the marker; what was measured when the model was put aside stays while it is away."""
        before = read_object(self._marker)
        facts = before.get("released") if released is None else released.as_dict()
        self._marker.parent.mkdir(parents=True, exist_ok=True)
        owner = asdict(this_process())
        write_json(self._marker, {"version": VERSION, "job": job, "owner": owner, "released": facts})

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def hold_early(surroundings: Surroundings) -> None:
    """Keep a WebUI that is just starting from loading a model onto a device where a job runs.

    A1111 begins to load while the page is still being built, long before our own part of it works.
    """
    if (surroundings.data_dir / LEASE_MARKER).exists():
        jobs = Shelf(surroundings.data_dir).all()
        CheckpointLease(surroundings).adopt(job for job in jobs if job.look().is_active)


def released_for(folder: Path) -> dict[str, Any]:
    """What putting the WebUI's model aside gave back before this job started, in bytes; empty when nothing did."""
    return read_object(folder / RELEASED)


def starts_soon(name: str) -> Text:
    """Why a picture is refused while a job waits for the WebUI to come to rest."""
    return text(
        "the training {name} is about to start on this device. Withdraw it in the Tanren tab to go on.", name=name
    )


def being_trained(name: str) -> Text:
    """Why a picture is refused while a job runs."""
    return text(
        "the training {name} is using this device. Pictures can be made again when it ends, or when you pause it in "
        "the Tanren tab.",
        name=name,
    )


def _repeat(attempt: Callable[[], None], name: str) -> None:
    """Try again in the background until the WebUI is at rest."""
    pause = threading.Event()

    def until_done() -> None:
        while True:
            pause.wait(ATTEMPT_SECONDS)
            try:
                attempt()
            except BusyError:
                continue
            return

    threading.Thread(target=until_done, name=name, daemon=True).start()
