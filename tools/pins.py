"""Write `pins.txt`: the exact versions that the trainer's environment is made of, for every supported Python.

Asks the pip of each interpreter (`python3.10` … `python3.13`, on the PATH or among pyenv's) what it would install for
the ranges in `pyproject.toml`. Python 3.11, the one the tests run on, decides; the others follow it where they can, and
where one cannot, the line is doubled with a marker. What torch alone decides (its CUDA parts) is left to torch.

    python tools/pins.py            rewrites pins.txt
    python tools/pins.py --check    exit code 1 when a Python cannot install the pins that stand there
    python tools/pins.py --wheels   the same, only asking whether each wheel exists; needs no other interpreter
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "pins.txt"
LEADING = "3.11"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
TORCH = "2.13.0"
SOURCE_ONLY = ("dadaptation",)  # published without a wheel
DECIDED_BY_TORCH = re.compile(r"nvidia-|cuda-|triton$")
HEAD = """\
# Exact versions of the trainer's own environment, written by tools/pins.py from the ranges in pyproject.toml.
# Sections: what `launch.py setup` installs, what `--with NAME` adds, and what all of these need in turn.
# The torch line names the version only; environment.py chooses the build (CPU or CUDA) that fits the machine.
"""


def wanted() -> dict[str, list[str]]:
    """Section name to requirement ranges, the trainer's first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {"trainer": project["dependencies"], **project["optional-dependencies"]}


def canonical(name: str) -> str:
    """A package name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """The name in front of the version range."""
    return canonical(re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0])


def find_interpreter(python: str) -> str:
    """One that runs: a name on the PATH may be a shim for nothing."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [shutil.which(f"python{python}"), *map(str, versions.glob(f"{python}.*/bin/python"))]
    for candidate in candidates:
        if candidate and not subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode:
            return candidate
    raise RuntimeError(f"python{python} is not here")


def resolve(python: str, requirements: list[str], constraints: list[str]) -> dict[str, str]:
    """What this interpreter's pip would install: name to version.

    Raises:
        RuntimeError: pip finds no set of versions; carries the end of what it said.
    """
    interpreter = find_interpreter(python)
    with tempfile.TemporaryDirectory() as folder:
        report, ceiling = Path(folder, "report.json"), Path(folder, "constraints.txt")
        ceiling.write_text("\n".join(constraints), "utf-8")
        command = [interpreter, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
        command += ["--report", str(report), "--constraint", str(ceiling), *requirements]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Python {python}: {done.stderr.strip()[-1500:]}")
        found = json.loads(report.read_text("utf-8"))["install"]
    versions = {canonical(item["metadata"]["name"]): item["metadata"]["version"].split("+")[0] for item in found}
    return {name: version for name, version in versions.items() if not DECIDED_BY_TORCH.match(name)}


def resolve_all() -> dict[str, dict[str, str]]:
    """Python version to its resolved set; the leading one first, the others held to it when they can be."""
    requirements = [item for items in wanted().values() for item in items]
    leading = resolve(LEADING, requirements, [f"torch=={TORCH}"])
    same = [f"{name}=={version}" for name, version in leading.items()]
    resolved = {LEADING: leading}
    for python in PYTHONS:
        if python == LEADING:
            continue
        try:
            resolved[python] = resolve(python, requirements, same)
        except RuntimeError:
            resolved[python] = resolve(python, requirements, [f"torch=={TORCH}"])
    return resolved


def lines_for(name: str, resolved: dict[str, dict[str, str]]) -> list[str]:
    """One pin, or one per version, with a marker where it is not for every Python."""
    versions: dict[str, list[str]] = {}
    for python in PYTHONS:
        if name in resolved[python]:
            versions.setdefault(resolved[python][name], []).append(python)
    pins = [(f"{name}=={version}", marker(pythons)) for version, pythons in versions.items()]
    return [f"{pin} ; {condition}" if condition else pin for pin, condition in pins]


def marker(pythons: list[str]) -> str:
    """The environment marker for neighbouring Python versions; empty for all of them."""
    low, high = pythons[0], PYTHONS.index(pythons[-1])
    parts = [f'python_version >= "{low}"'] if low != PYTHONS[0] else []
    if high + 1 < len(PYTHONS):
        parts.append(f'python_version < "{PYTHONS[high + 1]}"')
    return " and ".join(parts)


def text(resolved: dict[str, dict[str, str]]) -> str:
    """The whole pin file."""
    every = sorted({name for versions in resolved.values() for name in versions})
    parts, direct = [HEAD], set()
    for section, requirements in wanted().items():
        names = sorted(requirement_name(item) for item in requirements)
        direct.update(names)
        parts += [f"\n# [{section}]\n", *(line + "\n" for name in names for line in lines_for(name, resolved))]
    parts.append("\n# [needed by these]\n")
    parts += [line + "\n" for name in every if name not in direct for line in lines_for(name, resolved)]
    return "".join(parts)


def check() -> int:
    """Ask each Python whether it can install the written pins; prints one line each."""
    names = [requirement_name(item) for items in wanted().values() for item in items]
    bad = 0
    for python in PYTHONS:
        try:
            count = len(resolve(python, names, PINS.read_text("utf-8").splitlines()))
            print(f"Python {python}: {count} packages")
        except RuntimeError as error:
            bad += 1
            print(error)
    return int(bad > 0)


def check_wheels() -> int:
    """Ask this interpreter's pip whether the wheel of each pin exists for each Python; prints one line each."""
    sys.path.insert(0, str(ROOT / "trainer"))
    from tanren.pins import read_pins

    pins, bad = read_pins(PINS), 0
    here = pins.versions(pins.sections, sys.version_info[:2])
    for python in PYTHONS:
        versions = pins.versions(pins.sections, (3, int(python.split(".")[1])))
        wanted = {name: f"{name}=={version}" for name, version in versions.items() if name not in SOURCE_ONLY}
        # pip holds some limits of a package against the Python it runs on instead of the one that is asked for.
        only_there = [pin for name, pin in wanted.items() if name not in here]
        failed = ask_for_wheels(python, [pin for name, pin in wanted.items() if name in here])
        failed += ask_for_wheels(python, only_there, "--ignore-requires-python") if only_there else ""
        bad += bool(failed)
        print(failed or f"Python {python}: {len(wanted)} wheels")
    return int(bad > 0)


def ask_for_wheels(python: str, requirements: list[str], *flags: str) -> str:
    """What pip says against the wheels of these pins for this Python; empty when all exist."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed"]
    command += ["--target", "unused", "--python-version", python, "--only-binary=:all:", *flags, *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip()[-1500:] if done.returncode else ""


def main() -> int:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only check the pins that stand there")
    parser.add_argument("--wheels", action="store_true", help="only ask whether each wheel exists")
    chosen = parser.parse_args()
    if chosen.wheels:
        return check_wheels()
    if chosen.check:
        return check()
    PINS.write_text(text(resolve_all()), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
