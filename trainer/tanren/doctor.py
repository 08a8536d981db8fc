"""What this machine can do: Python, torch, GPU, number formats, memory, disk, optional packages.

Nothing is installed or changed, and nothing needs to be there: torch is asked in a process of its own, in the trainer's
environment when there is one. Exit code 0, or 10 when something stands in the way of training.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from . import __version__
from .child_process import child_environment
from .disk import free_bytes, size_text
from .environment import Environment, installed_versions, managed_environment, status
from .environment_setup import check_interpreter
from .errors import EnvironmentProblem
from .hardware import Gpu, choose_build, main_memory, nvidia_gpus
from .paths import data_folder, package_folder
from .pins import TRAINER, read_pins

SECONDS_FOR_TORCH = 120
LITTLE_DISK = 5 * 2**30
LITTLE_MEMORY = 4 * 2**30
OPTIONAL = {
    "bitsandbytes": ("8-bit optimizers", "trainer"),
    "lion-pytorch": ("--optimizer_type Lion", "optimizers"),
    "dadaptation": ("--optimizer_type DAdapt…", "optimizers"),
    "prodigyopt": ("--optimizer_type Prodigy", "optimizers"),
    "schedulefree": ("--optimizer_type …ScheduleFree", "optimizers"),
    "lycoris-lora": ("--network_module lycoris.kohya", "lycoris"),
    "wandb": ("--log_with wandb", "wandb"),
    "onnxruntime": ("data tag, mask, condition and faces with ONNX models", "tagging"),
    "xformers": ("--xformers (GPU; torch's own attention serves as well)", ""),
}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Args:
        state: "ok", "note" (good to know) or "problem" (training will not work).
        fix: what to do about it.
    """

    name: str
    state: Literal["ok", "note", "problem"]
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Place:
    """The interpreter whose packages the trainers use, and the commands that change them."""

    python: Path | None
    environment: Environment | None
    setup: str


def main(words: Sequence[str], *, managed: bool) -> int:
    """Print the report and return the exit code."""
    program = "python launch.py" if managed else "tanren"
    parser = argparse.ArgumentParser(prog=f"{program} doctor", description="Say what this machine can do.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    as_json = parser.parse_args(words).json
    findings, facts = examine(managed)
    healthy = all(finding.state != "problem" for finding in findings)
    if as_json:
        print(json.dumps({"healthy": healthy, "findings": [asdict(item) for item in findings], **facts}, indent=1))
    else:
        print("\n".join(_table(findings)))
    return 0 if healthy else EnvironmentProblem.code


def examine(managed: bool) -> tuple[list[Finding], dict[str, Any]]:
    """All findings, and the bare facts behind them for programs."""
    gpus = nvidia_gpus()
    python, place = _python(managed), _place(managed)
    torch = ask_torch(place.python) if place.python else {}
    packages = _package_versions(place)
    memory = main_memory()
    findings = [
        Finding("tanren", "ok", __version__),
        python,
        *_environment(place),
        *_torch(torch, place),
        *_gpus(gpus, torch, place),
        *_number_formats(torch),
        _memory(memory.total, memory.available, memory.swap),
        _disk("data", data_folder()),
        *([_disk("environment", place.environment.folder)] if place.environment else []),
        *_optional(packages, place),
    ]
    facts = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "torch": torch,
        "gpus": [asdict(gpu) for gpu in gpus],
        "memory": asdict(memory),
        "packages": packages,
    }
    return findings, facts


def ask_torch(python: Path) -> dict[str, Any]:
    """What torch says in that interpreter; `{"error": last line}` when it cannot be imported."""
    command = [str(python), "-m", "tanren.torch_facts"]
    environment = child_environment(PYTHONPATH=str(package_folder().parent))
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=SECONDS_FOR_TORCH,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": str(error)}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"]
        return {"error": lines[-1]}
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    return facts if isinstance(facts, dict) else {}


def _place(managed: bool) -> Place:
    if not managed:
        return Place(Path(sys.executable), None, "pip install")
    environment = managed_environment()
    python = environment.python if environment.python.exists() else None
    return Place(python, environment, "python launch.py setup")


def _python(managed: bool) -> Finding:
    text = f"{platform.python_version()} ({sys.executable}) on {platform.platform()}"
    try:
        if managed:
            check_interpreter()
    except EnvironmentProblem as problem:
        return Finding("python", "problem", f"{text}: {problem.what}", problem.fix)
    return Finding("python", "ok", text)


def _environment(place: Place) -> Iterable[Finding]:
    if place.environment is None:
        return
    now = status(place.environment, read_pins(package_folder().parents[1] / "pins.txt"))
    where = place.environment.folder
    if now.state == "ready":
        yield Finding("environment", "ok", f"{where} ({', '.join(now.sections)})")
    elif now.state == "missing":
        yield Finding("environment", "note", f"{where}: {now.why}", f"`{place.setup}` makes it; so does the first run.")
    elif now.state == "foreign":
        yield Finding("environment", "problem", f"{where}: {now.why}", "Rename it, or set TANREN_VENV.")
    else:
        yield Finding("environment", "problem", f"{where}: {now.why}", f"`{place.setup}` repairs it.")


def _torch(torch: dict[str, Any], place: Place) -> Iterable[Finding]:
    if "error" in torch:
        yield Finding("torch", "problem", f"cannot be imported: {torch['error']}", f"`{place.setup} --repair`")
    elif torch:
        build = f"CUDA {torch['cuda']}" if torch["cuda"] else "CPU build"
        yield Finding("torch", "ok", f"{torch['version']} ({build}, CPU {torch['cpu_capability']})")


def _gpus(gpus: list[Gpu], torch: dict[str, Any], place: Place) -> Iterable[Finding]:
    again = f"`{place.setup} --repair`"
    if not gpus and not torch.get("devices"):
        yield Finding("gpu", "note", "no NVIDIA GPU: training runs on the CPU (fine for the demo and for tests)")
        return
    for gpu in gpus:
        choice = choose_build([gpu])
        text = f"{gpu.name}, driver {gpu.driver}, {gpu.memory_free} of {gpu.memory_total} MiB free"
        if choice.build == "cpu":
            yield Finding("gpu", "problem", text, choice.because)
        elif torch and "error" not in torch and not torch["cuda"]:
            yield Finding(
                "gpu", "problem", f"{text}; but this torch is a CPU build", f"{again} installs {choice.build}."
            )
        elif torch.get("cuda") and not torch["devices"]:
            yield Finding("gpu", "problem", f"{text}; but torch sees no device", "Check the driver, then " + again)
        else:
            yield Finding("gpu", "ok", text)
    for device in torch.get("devices", ()):
        capability = ".".join(map(str, device["capability"]))
        built = " ".join(torch["architectures"])
        if not device["supported"]:
            fix = f"It has code for {built}. {again} chooses the build again."
            yield Finding("gpu", "problem", f"this torch has no code for {device['name']} ({capability})", fix)
        elif not device["works"]:
            yield Finding("gpu", "problem", f"{device['name']} does not compute", "Restart the machine or its driver.")
        else:
            yield Finding("gpu", "ok", f"{device['name']}: capability {capability}, in this torch's list ({built})")


def _number_formats(torch: dict[str, Any]) -> Iterable[Finding]:
    if not torch or "error" in torch:
        return
    for device in torch["devices"]:
        yield Finding("bf16 / fp16", "ok", f"{device['name']}: {_yes(device['bf16'])} / {_yes(device['fp16'])}")
    fast = "in hardware or fast" if torch["cpu_bf16_fast"] else "works, but slowly"
    yield Finding("bf16 / fp16", "note", f"CPU: bf16 {fast}; fp16 is computed in float32 with a warning")


def _memory(total: int, available: int, swap: int) -> Finding:
    text = f"{size_text(available)} of {size_text(total)} free, swap {size_text(swap)}"
    if 0 < available < LITTLE_MEMORY:
        return Finding("memory", "note", text, "Little for SD 1.5: close other programs.")
    return Finding("memory", "ok", text)


def _disk(name: str, folder: Path) -> Finding:
    free = free_bytes(folder)
    text = f"{size_text(free)} free for {folder}"
    if free < LITTLE_DISK:
        return Finding(f"disk, {name}", "note", text, "Little: a state and a few LoRAs need some GiB.")
    return Finding(f"disk, {name}", "ok", text)


def _package_versions(place: Place) -> dict[str, str | None]:
    """Version of each optional package, None when it is not there."""
    if place.environment is not None:
        found = {name.replace("_", "-").lower(): version for name, version in _in(place.environment).items()}
        return {name: found.get(name) for name in OPTIONAL}
    versions: dict[str, str | None] = {}
    for name in OPTIONAL:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _in(environment: Environment) -> dict[str, str]:
    return installed_versions(environment, OPTIONAL)


def _optional(packages: dict[str, str | None], place: Place) -> Iterable[Finding]:
    for name, (purpose, section) in OPTIONAL.items():
        version = packages[name]
        if version:
            yield Finding(name, "ok", f"{version}: {purpose}")
        else:
            yield Finding(name, "note", f"not installed: {purpose}", _how_to_add(name, section, place))


def _how_to_add(name: str, section: str, place: Place) -> str:
    if place.environment is None:
        return f"pip install {name}"
    if section == TRAINER:
        return place.setup
    return f"{place.setup} --with {section}" if section else f'"{place.environment.python}" -m pip install {name}'


def _table(findings: list[Finding]) -> list[str]:
    signs = {"ok": "  ok   ", "note": "  note ", "problem": "  STOP "}
    lines = []
    for item in findings:
        lines.append(f"{signs[item.state]} {item.name:<18} {item.text}")
        if item.fix:
            lines.append(f"{'':27}→ {item.fix}")
    return lines


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"
