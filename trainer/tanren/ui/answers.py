"""What the page script is told, and what it may ask for: plain data in, plain data out.

The web server around it is in `routes.py`; who may ask at all was decided before (`guard.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .. import __version__
from ..errors import SeveralProblems, UsageError, UserError
from ..jobs import view
from ..jobs.shelf import Job, Shelf
from ..jobs.trash import trashed
from ..masking import mask
from . import placing
from .checking import check
from .checkpoint_lease import released_for
from .command_line import command_line
from .guard import Guard, Refused
from .host import HostCheckpoint, Surroundings
from .library_desk import LibraryDesk
from .lora_norms import Norms
from .samples_out import Picture, read_picture
from .told import environment_told, job_told, problem_told
from .words import LANGUAGES, Words, language_of

LONGEST_ID = 255
CONTROL_COMMAND = "sdxl_train_control_net_lllite"
ENVIRONMENT_WORDS = ("setup", "repair", "cancel")

Body = Mapping[str, Any]


class Setup(Protocol):
    """The trainer's environment as the page sees it."""

    def status(self) -> dict[str, Any]:
        """How it stands, why, and how far a set-up is."""

    def setup(self) -> None:
        """Begin to make or complete it."""

    def repair(self) -> None:
        """Begin to make it anew."""

    def cancel(self) -> None:
        """End a set-up that runs."""

    def add(self, section: str) -> None:
        """Begin to install a further section of the pin file."""

    def has(self, section: str) -> bool:
        """Whether its packages are there."""

    def python(self) -> Path:
        """The interpreter to start a trainer with."""


class Queue(Protocol):
    """Who starts jobs."""

    paused: bool

    def wake(self) -> None:
        """Look at once whether something is to do."""


@dataclass(frozen=True)
class Desk:
    """All that the answers are made from.

    Args:
        surroundings: the WebUI, or this machine alone.
        shelf: all jobs.
        guard: who may ask.
        queue: starts the jobs; None where nobody does.
        setup: the trainer's environment; None where there is nothing to set up.
        norms: computes how strongly a LoRA changes each block.
        library: the index of all LoRAs, and who keeps it up to date.
    """

    surroundings: Surroundings
    shelf: Shelf
    guard: Guard
    queue: Queue | None = None
    setup: Setup | None = None
    norms: Norms = field(default_factory=Norms)
    library: LibraryDesk = field(default_factory=LibraryDesk)


def state(desk: Desk) -> dict[str, Any]:
    """The strip above the page: surroundings, device, model, environment, queue."""
    around = desk.surroundings
    device, checkpoint = around.device(), around.checkpoint()
    return {
        "version": __version__,
        "language": language_of(around.language()),
        "languages": LANGUAGES,
        "surroundings": around.kind,
        "title": around.title,
        "is_public": around.is_public,
        "may_write": around.may_write,
        "why_not": "" if around.may_write else _why_not(around),
        "device": asdict(device) if device else None,
        "checkpoint": _checkpoint(checkpoint, with_path=not around.is_public) if checkpoint else None,
        "is_generating": around.is_generating(),
        "lora_folder": _told_folder(around, around.lora_dir()),
        "control_folder": _told_folder(around, around.control_dir()),
        "environment": environment(desk),
        "queue": {"is_paused": bool(desk.queue and desk.queue.paused)},
    }


def jobs(desk: Desk) -> dict[str, Any]:
    """Every job in short, and how many are in the trash."""
    chosen = _words(desk)
    told = [job_told(view.summary(job), chosen) for job in desk.shelf.all()]
    return {"jobs": told, "deleted": len(trashed(desk.shelf))}


def job_detail(desk: Desk, job_id: str, since: int) -> dict[str, Any]:
    """One job in full; what its events say from byte `since` on."""
    job = known_job(desk, job_id)
    told = job_told(view.detail(job, since), _words(desk))
    return {**told, "command_line": _command_line(job), "released": released_for(job.folder) or None}


def job_log(desk: Desk, job_id: str, since: int) -> dict[str, Any]:
    """What the log of a job says from byte `since` on."""
    return view.log_text(known_job(desk, job_id), since)


def job_sample(desk: Desk, job_id: str, name: str) -> Picture:
    """One of the pictures a job has drawn."""
    job = known_job(desk, job_id)
    try:
        path = view.sample_path(job, name)
    except UsageError as unknown:
        raise Refused(404, what="There is no such sample.", fix="It may have been deleted.") from unknown
    return read_picture(path)


def act(desk: Desk, job_id: str, action: str, body: Body) -> dict[str, Any]:
    """Do with a job what a button asks for, and tell how it stands then."""
    job = known_job(desk, job_id)
    if action not in ACTIONS:
        raise Refused(404, what="There is no such action.", why=", ".join(ACTIONS))
    after = ACTIONS[action](desk, job, body)
    if desk.queue is not None:
        desk.queue.wake()
    return {"ok": True, "job": job_told(view.summary(after), _words(desk)) if after is not None else None}


def use(desk: Desk, job_id: str, body: Body) -> dict[str, Any]:
    """Copy a file of a job into the WebUI's LoRA folder, or into that of its ControlNet."""
    job = known_job(desk, job_id)
    if _is_control(job):
        control = placing.use_as_control(desk.surroundings, job, body)
        told = {"path": str(control.path), "name": control.name, "was_there": control.was_there}
        return {"ok": True, **told, "is_listed": control.is_listed}
    used = placing.use(desk.surroundings, job, body)
    return {"ok": True, "path": str(used.path), "name": used.name, "was_there": used.was_there}


def try_it(desk: Desk, job_id: str, body: Body) -> dict[str, Any]:
    """The words for a prompt that try a file of a job; it is copied into the LoRA folder if it is not there yet."""
    job = known_job(desk, job_id)
    if _is_control(job):
        raise UsageError(where="", what="Prompts do not name control networks.", fix="Choose it in ControlNet.")
    return {"ok": True, "prompt": placing.prompt(desk.surroundings, job, body)}


def environment(desk: Desk) -> dict[str, Any]:
    """How the trainer's environment stands."""
    if desk.setup is not None:
        return environment_told(desk.setup.status(), _words(desk))
    # This program runs in it, so it cannot be made anew from here.
    return {"state": "ready", "why": "", "busy": False, "is_given": True}


def change_environment(desk: Desk, word: str) -> dict[str, Any]:
    """Make, repair, or stop making the trainer's environment."""
    if word not in ENVIRONMENT_WORDS:
        raise Refused(404, what="There is no such action.", why=", ".join(ENVIRONMENT_WORDS))
    if desk.setup is None:
        raise UsageError(
            where="environment",
            what="There is nothing to set up here: training runs in the environment of this program.",
        )
    {"setup": desk.setup.setup, "repair": desk.setup.repair, "cancel": desk.setup.cancel}[word]()
    return {"ok": True, "environment": environment(desk)}


def start_queue(desk: Desk) -> dict[str, Any]:
    """Let the jobs start that were queued before this program was."""
    if desk.queue is not None:
        desk.queue.paused = False
    return {"ok": True, "queue": {"is_paused": False}}


def words(language: str) -> dict[str, Any]:
    """The texts of the page in a language."""
    chosen = Words(language)
    return {"language": chosen.language, "words": chosen.table()}


def problem(error: UserError, language: str) -> dict[str, Any]:
    """A problem in the shape that all of them have, in the language of the page."""
    return {"problem": problem_told(error.as_dict(), Words(language))}


def known_job(desk: Desk, job_id: str) -> Job:
    """The job of an id that came from outside; ids are looked up among the jobs and never become paths."""
    try:
        return desk.shelf.get(job_id[:LONGEST_ID])
    except UsageError as unknown:
        raise Refused(
            404, what="There is no such job.", fix="It may have been deleted. Load the page anew."
        ) from unknown


def _is_control(job: Job) -> bool:
    return bool(view.summary(job).get("command") == CONTROL_COMMAND)


def _command_line(job: Job) -> str:
    """What repeats a job at a shell; empty when its settings cannot be read, or cannot stand on a command line."""
    try:
        spec = job.spec()
        return mask(command_line(spec.command, spec.options))
    except UserError:
        return ""


def _why_not(around: Surroundings) -> str:
    words, access = Words(around.language()), around.access
    why = words("Others may be able to reach this page: {reason}.", reason=words(access.why))
    return f"{why} {words(access.opt_in)}"


def _told_folder(around: Surroundings, folder: Path | None) -> str | None:
    """Where finished files go, told to nobody who comes from elsewhere."""
    return str(folder) if folder and not around.is_public else None


def _checkpoint(checkpoint: HostCheckpoint, *, with_path: bool) -> dict[str, Any]:
    """The WebUI's model; where it lies is nobody's business who comes from elsewhere."""
    shown = asdict(checkpoint)
    paths = {name: str(shown[name]) if shown[name] and with_path else None for name in ("path", "vae_path")}
    return {**shown, **paths, "vae": checkpoint.vae_path.name if checkpoint.vae_path else None}


def _words(desk: Desk) -> Words:
    return Words(desk.surroundings.language())


def _retry(desk: Desk, job: Job, body: Body) -> Job:
    changes = body.get("changes") or {}
    if not isinstance(changes, Mapping):
        raise UsageError(where="changes", what="They are not a list of settings with their values.")
    _refuse_new_problems(desk, job, changes)
    return job.retry(changes, request_id=str(body.get("request_id") or ""))


def _refuse_new_problems(desk: Desk, job: Job, changes: Body) -> None:
    """Raise what the changes would make wrong; what was wrong before is for the trainer to say."""
    if not changes:
        return
    spec, policy = job.spec(), desk.surroundings.policy()
    before = {problem.what for problem in check(spec.command, spec.options, policy=policy).problems}
    changed = {name: value for name, value in {**spec.options, **changes}.items() if value is not None}
    found = [problem for problem in check(spec.command, changed, policy=policy).problems if problem.what not in before]
    if found:
        told = [UsageError(where=one.name or "", what=one.what, why=one.why, fix=one.fix) for one in found]
        raise told[0] if len(told) == 1 else SeveralProblems(told)


def _delete(desk: Desk, job: Job, body: Body) -> None:
    job.delete(with_outputs=body.get("with_outputs") is True)


def _then_same(method: Callable[[Job], object]) -> Callable[[Desk, Job, Body], Job]:
    def done(desk: Desk, job: Job, body: Body) -> Job:
        method(job)
        return job

    return done


ACTIONS: dict[str, Callable[[Desk, Job, Body], Job | None]] = {
    "stop": _then_same(Job.ask_stop),
    "stop_now": _then_same(Job.stop_now),
    "save": _then_same(Job.save_now),
    "sample": _then_same(Job.sample_now),
    "pause": _then_same(Job.pause),
    "resume": _then_same(Job.resume),
    "submit": _then_same(Job.submit),
    "withdraw": _then_same(Job.withdraw),
    "up": _then_same(lambda job: job.move("up")),
    "down": _then_same(lambda job: job.move("down")),
    "retry": _retry,
    "delete": _delete,
}
