"""The trainer's environment as the page sees it: how it stands, what a set-up would do, starting and ending one.

Nothing is kept in memory that is not in the environment's folder, so a page that is reloaded, a WebUI that is
restarted and another one that shares the folder see the same.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..disk import check_free_space, free_bytes
from ..environment import LOG, Environment, Status, installed_names, managed_environment, status
from ..environment_setup import SIZES, SetupPlan, plan_setup
from ..errors import BusyError, EnvironmentProblem, UserError
from ..interpreters import find_interpreter
from ..jobs.terminal_text import read_terminal
from ..masking import mask, secrets_of_environment
from ..paths import package_folder
from ..pins import TRAINER, canonical, read_pins
from . import setup_process
from .given_environment import Given, look_at
from .guard import Guard
from .host import Surroundings
from .settings import ENVIRONMENT_FOLDER
from .setup_progress import Progress, closing_words, progress_of, takes_default_torch
from .words import Text, Words, text

LINES_SHOWN = 60
SECONDS_A_PLAN_HOLDS = 120.0
HIDDEN: dict[str, Any] = {"folder": "", "lines": [], "plan": None, "problem": None}


class TrainerSetup:
    """The environment that jobs started here run in.

    Args:
        surroundings: say which folder was chosen, and who may change things.
        root: the checkout with `launch.py` and `pins.txt`; None for the one we run from.
    """

    def __init__(self, surroundings: Surroundings, root: Path | None = None) -> None:
        self._surroundings = surroundings
        self._root = root or package_folder().parents[1]
        self._pins = read_pins(self._root / "pins.txt")
        self._lock = threading.Lock()
        self._plan: tuple[float, Status, dict[str, Any]] | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def folder(self) -> Path:
        """Where it is, or would be made."""
        return self._environment().folder

    def python(self) -> Path:
        """The interpreter to start a trainer with.

        Raises:
            EnvironmentProblem: there is none that could run one, with what to do about it.
        """
        environment = self._environment()
        given = self._given(environment)
        if given is not None and not given.why and given.python is not None:
            return given.python
        now = status(environment, self._pins)
        if given is None and now.state == "ready":
            return environment.python
        why = given.why if given is not None else now.why
        raise EnvironmentProblem(
            where=str(environment.folder),
            what="The trainer's environment cannot be used.",
            why=f"In this folder: {why}.",
            fix="Set it up or repair it in the tab Trainer environment, or run `python launch.py setup --repair`.",
        )

    def status(self) -> dict[str, Any]:
        """How it stands, ready to be sent to the page.

        state (as in `environment.State`), why, hint, busy, folder, is_given (made by somebody else), plan (of a set-up
        that would be useful now: download, on_disk, free in bytes, packages, torch, because, folder), progress (phase,
        package, done, total, bytes, expected), doing (a sentence), lines (end of the log), problem.
        """
        if self._child is not None:
            self._child.poll()  # Otherwise it would stay as a zombie.
        environment = self._environment()
        given = self._given(environment)
        if given is not None:
            return self._shown(
                environment, "foreign" if given.why else "ready", given.why, hint=given.hint, is_given=True
            )
        if setup_process.is_running(environment):
            return self._shown_at_work(environment)
        now = status(environment, self._pins)
        if now.state == "ready" and not self._lacks_addition(environment):
            return self._shown(environment, now.state)
        lines = self._lines(environment)
        if now.state == "ready":
            return self._shown(environment, now.state, lines=lines, problem=self._failure(environment, lines))
        shown = {"problem": self._failure(environment, lines), **self._offer(environment, now)}
        return self._shown(environment, now.state, now.why, lines=lines, **shown)

    def setup(self) -> None:
        """Begin to make it or to complete it; does nothing when it is whole already."""
        if self.status()["state"] != "ready":
            self._start("setup")

    def repair(self) -> None:
        """Begin to make it anew."""
        self._start("repair")

    def add(self, section: str) -> None:
        """Begin to install a further section of the pin file; makes the environment first where there is none."""
        if self.status()["state"] != "ready" or not self.has(section):
            self._start("setup", section)

    def has(self, section: str) -> bool:
        """Whether the packages of a section of the pin file are there, in whatever build and by whomever installed."""
        found = {canonical(name) for name in installed_names(self._environment())}
        wanted = map(canonical, self._pins.names([section]))
        return all(any(name == one or name.startswith(f"{one}-") for name in found) for one in wanted)

    def cancel(self) -> None:
        """End a set-up that runs, with everything it started; does nothing when none does."""
        self._check_may_write()
        environment = self._environment()
        with self._lock:
            if setup_process.is_running(environment):
                setup_process.cancel(environment)

    def _start(self, action: str, section: str = "") -> None:
        self._check_may_write()
        environment = self._environment()
        self._check_is_ours(environment)
        is_addition = bool(section) and status(environment, self._pins).state == "ready"
        if Path(sys.prefix).resolve() == environment.folder.resolve() and not is_addition:
            raise BusyError(
                where=str(environment.folder),
                what="This page itself runs in that environment.",
                fix="Close it, and run `python launch.py setup --repair`.",
            )
        with self._lock:
            if setup_process.is_running(environment):
                return
            python = find_interpreter()
            sections = (TRAINER, section) if section else (TRAINER,)
            plan = plan_setup(environment, self._pins, sections, repair=action == "repair")
            check_free_space(environment.folder, int(sum(plan.sizes)), what="The trainer's environment")
            words = [str(python), "-u", str(self._root / "launch.py"), "--yes", "setup"]
            words += ["--repair"] if action == "repair" else []
            words += ["--with", section] if section else []
            self._child = setup_process.start(environment, words, action, section)

    def _environment(self) -> Environment:
        # On a server that others can reach, its settings page is theirs too; what runs here is not for them to choose.
        chosen = "" if self._surroundings.is_public else str(self._surroundings.setting(ENVIRONMENT_FOLDER, "") or "")
        return Environment(Path(chosen.strip()).expanduser().absolute()) if chosen.strip() else managed_environment()

    def _given(self, environment: Environment) -> Given | None:
        """What was found in a folder that we did not make; None when it is ours, or still to be made."""
        if status(environment, self._pins).state != "foreign":
            return None
        return look_at(environment.folder, self._pins)

    def _check_may_write(self) -> None:
        Guard(self._surroundings.access).check_write()

    def _check_is_ours(self, environment: Environment) -> None:
        if self._given(environment) is not None:
            raise EnvironmentProblem(
                where=str(environment.folder),
                what="This environment was not made by Tanren, so it is not changed.",
                fix="Change it by hand, or name an empty folder in the settings.",
            )

    def _shown_at_work(self, environment: Environment) -> dict[str, Any]:
        lines = self._lines(environment)
        progress = progress_of(lines, environment)
        plan = self._plan_of(environment, status(environment, self._pins))
        # The plan was made before the index was asked.
        expected = int(SIZES["default"][0] if takes_default_torch(lines) else plan["download"])
        words = Words(self._surroundings.language())
        shown = {**vars(progress), "expected": expected}
        return self._shown(
            environment,
            "busy",
            busy=True,
            lines=lines,
            plan=plan,
            progress=shown,
            doing=words(_sentence(progress, expected)),
        )

    def _shown(self, environment: Environment, state: str, why: str = "", **more: Any) -> dict[str, Any]:
        nothing: dict[str, Any] = {"hint": "", "busy": False, "is_given": False, "plan": None, "progress": None}
        nothing |= {"doing": "", "lines": [], "problem": None}
        shown = {"state": state, "why": why, "folder": str(environment.folder), **nothing, **more}
        lines = shown["lines"][-LINES_SHOWN:]
        # Where things lie on this machine is for those who may change them.
        return {**shown, "lines": lines} if self._surroundings.may_write else {**shown, **HIDDEN}

    def _offer(self, environment: Environment, now: Status) -> dict[str, Any]:
        """What a set-up would do, or why none is possible."""
        try:
            find_interpreter()
        except EnvironmentProblem as problem:
            return {"problem": problem.as_dict()}
        return {"plan": self._plan_of(environment, now)}

    def _plan_of(self, environment: Environment, now: Status) -> dict[str, Any]:
        """The plan; the GPU's driver is not asked every second."""
        known = self._plan
        if known is None or known[1] != now or time.monotonic() - known[0] > SECONDS_A_PLAN_HOLDS:
            self._plan = known = (time.monotonic(), now, _facts(plan_setup(environment, self._pins)))
        return {**known[2], "free": free_bytes(environment.folder), "folder": str(environment.folder)}

    def _lines(self, environment: Environment) -> list[str]:
        found = read_terminal(environment.folder / LOG, 0)
        return mask(found.text + found.unfinished, secrets_of_environment()).splitlines()

    def _lacks_addition(self, environment: Environment) -> bool:
        """True when the newest set-up should have added packages that are not there."""
        record = setup_process.last_record(environment)
        section = str(record.get("section") or "")
        return section in self._pins.sections and not record.get("cancelled") and not self.has(section)

    def _failure(self, environment: Environment, lines: list[str]) -> dict[str, Any] | None:
        """Why the newest set-up of this page did not come to its end; None when there was none, or it was cancelled."""
        record = setup_process.last_record(environment)
        if not record or record.get("cancelled"):
            return None
        what, why = closing_words(lines)
        problem: UserError = EnvironmentProblem(
            where=str(environment.folder),
            what=f"The set-up did not come to its end: {what}" if what else "The set-up did not come to its end.",
            why=why,
            fix="Mend what the lines below name (network, proxy, disk), then set it up again.",
        )
        return problem.as_dict()


def _facts(plan: SetupPlan) -> dict[str, Any]:
    download, on_disk = plan.sizes
    return {
        "download": int(download),
        "on_disk": int(on_disk),
        "packages": plan.named,
        "torch": plan.choice.build,
        "because": plan.choice.because,
        "is_fresh": plan.fresh,
    }


def _sentence(progress: Progress, expected: int) -> Text:
    """What is being done, for people."""
    if progress.phase == "download":
        sizes = {"done": f"{progress.bytes / 1e9:.2f}", "all": f"{expected / 1e9:.1f}"}
        return text("Downloading {package}: {done} GB so far, of up to {all} GB.", package=progress.package, **sizes)
    if progress.phase == "install":
        if not progress.package:
            return text("Finishing the installation: {total} packages are in place.", total=progress.total)
        counts = {"done": progress.done, "total": progress.total}
        return text(
            "Installing {package}: {done} of {total} packages are in place.", package=progress.package, **counts
        )
    if progress.phase == "try":
        return text("Trying the packages.")
    return text("Making the folder for the packages.") if progress.phase == "make" else text("Starting the set-up.")
