"""Making, completing and repairing the trainer's environment with the interpreter's own venv and pip.

A fresh set-up empties the folder first. An update (new pins, one more section) installs into what is there; when pip
cannot do that, for example without a network, the environment stays as it was.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import hardware
from .child_process import child_environment
from .disk import TEMP_PREFIX, check_free_space
from .environment import LOCK, Environment, Status, installed_versions, is_ours, status
from .errors import BusyError, EnvironmentProblem
from .files import write_json
from .locks import Lock
from .pins import TRAINER, Pins

OLDEST, NEWEST = (3, 10), (3, 13)
# Bytes to download and bytes on the disk on Linux, the packages beside torch included.
SIZES = {"cpu": (0.4e9, 1.8e9), "cu126": (3.2e9, 7.5e9), "cu130": (2.9e9, 6.5e9), "default": (2.9e9, 6.5e9)}
UPDATE_SIZES = (0.2e9, 0.5e9)
NAMED_IN_PLANS = ("torch", "diffusers", "transformers")
IMPORT_NAMES = {"pillow": "PIL"}
TRY_IMPORTS = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
# Where pip keeps what it downloads until it is installed; in /tmp, which may be small, the CUDA parts do not fit.
DOWNLOADS = f"{TEMP_PREFIX}downloads"
OTHER_TORCH = "torch comes from the default index"
SECONDS_FOR_INDEX = 6
SECONDS_FOR_OTHER_SETUP = 3600.0


@dataclass(frozen=True)
class SetupPlan:
    """What one set-up does.

    Args:
        sections: every section of the pin file that is there afterwards.
        now: how the environment stands before.
        choice: the build of torch.
        fresh: True empties the folder first.
    """

    environment: Environment
    pins: Pins
    sections: tuple[str, ...]
    now: Status
    choice: hardware.Choice
    fresh: bool

    def __str__(self) -> str:
        download, on_disk = self.sizes
        return (
            f"The trainer needs Python packages of its own ({self.now.why or 'made anew on request'}).\n"
            f"  folder    {self.environment.folder}\n"
            f"  packages  {self.named} and what they need ({', '.join(self.sections)})\n"
            f"  torch     {self.choice.build} build: {self.choice.because}\n"
            f"  size      up to {download / 1e9:.1f} GB to download, {on_disk / 1e9:.1f} GB on the disk"
        )

    @property
    def named(self) -> str:
        """The packages people know, with versions."""
        versions = self.pins.versions(self.sections, sys.version_info[:2])
        return ", ".join(f"{name} {versions[name]}" for name in NAMED_IN_PLANS if name in versions)

    @property
    def sizes(self) -> tuple[float, float]:
        """Bytes to download, bytes on the disk."""
        return SIZES.get(self.choice.build, SIZES["default"]) if self.fresh else UPDATE_SIZES


def ensure(
    environment: Environment,
    pins: Pins,
    sections: Iterable[str] = (),
    *,
    agree: Callable[[str], bool],
    say: Callable[[str], None] = print,
    torch_build: str | None = None,
    repair: bool = False,
) -> Status:
    """Make, complete or repair the environment so that it has these sections; quick when it has them already.

    Args:
        sections: beside the trainer's own.
        agree: asked once, with the plan, before anything is installed.
        say: shows a line.
        torch_build: one of `hardware.BUILD_NAMES` instead of the one that fits the machine.
        repair: make it anew even when nothing wrong is seen.

    Raises:
        EnvironmentProblem: Python does not fit, the folder is somebody else's, or packages cannot be installed.
        StorageError: the disk has too little room.
    """
    wanted = tuple(dict.fromkeys((TRAINER, *sections)))
    if _is_enough(environment, pins, wanted, torch_build) and not repair:
        return status(environment, pins, wanted)
    check_interpreter()
    environment.folder.mkdir(parents=True, exist_ok=True)
    with _only_one(environment, say):
        now = status(environment, pins, wanted)
        if now.state == "foreign":
            raise EnvironmentProblem(
                where=str(environment.folder),
                what="This folder is there already and was not made by Tanren.",
                fix="Rename or delete it, or set TANREN_VENV to another folder.",
            )
        if _is_enough(environment, pins, wanted, torch_build) and not repair:
            return now
        plan = plan_setup(environment, pins, wanted, torch_build=torch_build, repair=repair)
        if not agree(str(plan)):
            raise EnvironmentProblem(what="Nothing was installed.", fix="Start again and answer y, or give --yes.")
        check_free_space(environment.folder, int(sum(plan.sizes)), what="The trainer's environment")
        _carry_out(plan, say)
        return status(environment, pins, wanted)


def plan_setup(
    environment: Environment,
    pins: Pins,
    sections: Iterable[str] = (TRAINER,),
    *,
    torch_build: str | None = None,
    repair: bool = False,
) -> SetupPlan:
    """What `ensure` would do with these arguments; asks the GPU's driver, and nobody else."""
    now = status(environment, pins, sections)
    choice = hardware.named_build(torch_build) if torch_build else hardware.choose_build(hardware.nvidia_gpus())
    fresh = repair or now.state in ("missing", "unfinished", "broken") or torch_build is not None
    return SetupPlan(environment, pins, tuple(dict.fromkeys((*sections, *now.sections))), now, choice, fresh)


def check_interpreter() -> None:
    """Refuse a Python that the pins do not know, or one without what makes an environment."""
    here = sys.version_info[:2]
    if not OLDEST <= here <= NEWEST:
        raise EnvironmentProblem(
            what=f"The trainer runs on Python 3.10 to 3.13, this is {here[0]}.{here[1]}.",
            fix="Start launch.py with one of these, for example `python3.11 launch.py`.",
        )
    lacking = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if lacking:
        raise EnvironmentProblem(
            what=f"This Python cannot make environments: its {' and '.join(lacking)} module is missing.",
            fix=f"On Debian and Ubuntu: sudo apt install python{here[0]}.{here[1]}-venv",
        )


def _is_enough(environment: Environment, pins: Pins, wanted: tuple[str, ...], torch_build: str | None) -> bool:
    same_build = torch_build is None or environment.said().get("torch") == torch_build
    return same_build and status(environment, pins, wanted).state == "ready"


def _carry_out(plan: SetupPlan, say: Callable[[str], None]) -> None:
    environment, before = plan.environment, plan.environment.said()
    content: dict[str, Any] = {"pins": plan.pins.hash, "sections": list(plan.sections), "torch": plan.choice.build}
    write_json(environment.marker, {"state": "unfinished", **content})
    if plan.fresh:
        _make_empty(environment)
        say(f"Making {environment.folder} with Python {platform.python_version()} …")
        # sys.executable may lie in an environment itself, or be a link that an upgrade turns to another version.
        base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        _run([base, "-m", "venv", str(environment.folder)], "The environment could not be made.")
    try:
        _install(plan, say)
    except EnvironmentProblem:
        if not plan.fresh:
            write_json(environment.marker, before)
        raise
    say("Trying the packages …")
    names = [IMPORT_NAMES.get(name, name.replace("-", "_")) for name in plan.pins.names([TRAINER])]
    _try([str(environment.python), "-c", TRY_IMPORTS, *names])
    versions = installed_versions(environment, plan.pins.names(plan.sections))
    write_json(environment.marker, {"state": "ready", **content, "packages": versions})


def _install(plan: SetupPlan, say: Callable[[str], None]) -> None:
    downloads = plan.environment.folder / DOWNLOADS
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir(parents=True)
    try:
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(downloads))
        _run(_pip_command(plan, say), "The packages could not be installed.", **places)
    finally:
        shutil.rmtree(downloads, ignore_errors=True)


def _pip_command(plan: SetupPlan, say: Callable[[str], None]) -> list[str]:
    command = [str(plan.environment.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--constraint", str(plan.pins.path)]
    if not sys.stdout.isatty():
        command += ["--progress-bar", "off"]
    index = None if os.environ.get("PIP_NO_INDEX") else plan.choice.index
    if index is not None and _answers(index):
        command += ["--extra-index-url", index]
    elif index is not None:
        say(f"{index} cannot be reached: {OTHER_TORCH}, in the build that is there.")
    return [*command, *plan.pins.names(plan.sections)]


def _make_empty(environment: Environment) -> None:
    for item in environment.folder.iterdir():
        if is_ours(item.name):
            continue
        try:
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()
        except OSError as error:
            raise EnvironmentProblem(
                where=str(item),
                what="It cannot be removed, so the environment cannot be made anew.",
                why=str(error),
                fix="End the programs that run from this environment, and start again.",
            ) from error


def _run(command: list[str], failed: str, **variables: str) -> None:
    """Run a command whose output the user sees and which cannot ask anything."""
    sys.stdout.flush()
    done = subprocess.run(command, env={**child_environment(), **variables}, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise EnvironmentProblem(
            what=failed,
            why="The lines above give the reason.",
            fix="Mend that (network, proxy, disk) and start again; the set-up repairs itself.",
        )


def _try(command: list[str]) -> None:
    """Import the packages; what they say on the way is shown only when one of them fails."""
    done = subprocess.run(
        command, env=child_environment(), stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        raise EnvironmentProblem(
            what="The packages are installed, but cannot be imported.",
            why="The lines above give the reason.",
            fix="Start again: the set-up then begins anew. `python launch.py doctor` tells more.",
        )


def _answers(index: str) -> bool:
    request = urllib.request.Request(index + "/torch/", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_FOR_INDEX):
            return True
    except OSError:
        return False


def _only_one(environment: Environment, say: Callable[[str], None]) -> Lock:
    lock, what = Lock(environment.folder / LOCK), "The set-up of the trainer's environment"
    try:
        return lock.acquire(what=what, wait=0)
    except BusyError:
        say("Another start is making the environment; waiting for it …")
    return lock.acquire(what=what, wait=SECONDS_FOR_OTHER_SETUP)
