"""The walls between the parts: light and heavy, one way of importing, no names taken from the host."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRAINER = ROOT / "trainer"
PACKAGE = TRAINER / "tanren"

# Lower ranks know nothing of higher ones. Modules at the package's top that are not listed stand around `entry`.
RANKS = {
    **dict.fromkeys(("errors", "events", "disk", "locks", "files", "folders", "paths", "masking"), 0),
    **dict.fromkeys(
        ("child_process", "hardware", "pins", "environment", "environment_setup", "doctor", "verification"), 0
    ),
    **dict.fromkeys(("interpreters", "webui_gradio"), 0),
    "formats": 1,
    "options": 2,
    "commands": 3,
    "hub": 3,
    "diffusion": 3,
    "data": 4,
    "jobs": 5,
    "library": 5,
    "preparation": 5,
    "models": 5,
    "families": 6,
    "networks": 7,
    "objectives": 8,
    "checkpoint": 9,
    "engine": 10,
    "generation": 10,
    "recipes": 11,
    "picture_models": 12,
    "ui": 12,
    "micro": 12,
    "data_commands": 12,
    "launcher": 13,
    "__main__": 14,
}
AROUND_ENTRY = 12
LIGHT_PARTS = ("formats", "options", "hub", "jobs", "library", "preparation", "data_commands", "ui")
HEAVY_AT_THE_TOP = ("torch_facts",)
LIGHT_ELSEWHERE = (
    *(f"picture_models.{name}" for name in ("__main__", "arguments", "progress", "requests", "tag_choice")),
    *("data.scan", "data.captions", "data.buckets"),
    *(f"generation.{name}" for name in ("request", "sources", "batches", "keeping", "check")),
    *("checkpoint.names", "checkpoint.choosing", "checkpoint.fingerprint", "checkpoint.resume_check"),
)
# What shows pages brings numpy and more along; that torch stays out of that process is tested with the page.
WEB = ("gradio", "starlette", "fastapi", "uvicorn")
REFUSED = ("torch", "diffusers", "transformers", "accelerate", "numpy", "safetensors", "bitsandbytes", "tensorboard")

IMPORT_ALL = """
import importlib, json, sys, warnings
refused, web, modules, without_pillow = json.loads(sys.argv[1])

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ImportError("a light module asked for " + name)
        if name.partition(".")[0] in web:
            raise ImportError("not here", name="web")
        return None

sys.meta_path.insert(0, Wall())
warnings.simplefilter("error")
failed = {}
for module in modules:
    try:
        importlib.import_module(module)
    except Exception as error:
        if not (without_pillow and getattr(error, "name", "") == "PIL") and getattr(error, "name", "") != "web":
            failed[module] = repr(error)
print(json.dumps(failed))
"""


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted name below the package, and file, of each of its modules."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def light_modules() -> list[str]:
    names = [name for name, _ in modules() if name]
    tops = [name for name in names if "." not in name and (PACKAGE / f"{name}.py").is_file()]
    inside = [name for name in names if name.partition(".")[0] in LIGHT_PARTS or name in LIGHT_ELSEWHERE]
    return ["tanren." + name for name in (*tops, *inside) if name not in HEAVY_AT_THE_TOP]


def rank(name: str) -> int:
    top = name.partition(".")[0]
    return RANKS[top] if (PACKAGE / top).is_dir() else RANKS.get(top, AROUND_ENTRY)


def imported_by(name: str, path: Path) -> Iterator[str]:
    """What a module imports from the package, as dotted names below it; absolute ones as `tanren.…`."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "tanren")
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").partition(".")[0] == "tanren":
            yield str(node.module)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = [part for part in package if part][: len(package) - node.level + 1]
            if node.module:
                yield ".".join([*base, node.module])
            else:
                yield from (".".join([*base, alias.name]) for alias in node.names)


def oldest_python() -> str | None:
    """A working Python 3.10: the one that TANREN_LIGHT_PYTHON names, on the PATH, or among pyenv's."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [os.environ.get("TANREN_LIGHT_PYTHON"), shutil.which("python3.10")]
    candidates += [str(path) for path in sorted(versions.glob("3.10*/bin/python"))]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def import_behind_the_wall(python: str) -> dict[str, str]:
    probe = subprocess.run([python, "-c", "import PIL"], capture_output=True, check=False)
    job = json.dumps([REFUSED, WEB, light_modules(), probe.returncode != 0])
    done = subprocess.run([python, "-c", IMPORT_ALL, job], cwd=TRAINER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_light_modules_import_without_the_heavy_packages():
    assert import_behind_the_wall(sys.executable) == {}


def test_light_modules_import_on_the_oldest_python():
    python = oldest_python()
    if python is None:
        pytest.skip("no python3.10 here")
    assert import_behind_the_wall(python) == {}


@pytest.mark.parametrize(("name", "path"), [pytest.param(*pair, id=pair[0] or "tanren") for pair in modules()])
def test_imports_are_relative_and_run_one_way(name, path):
    own = rank(name) if name else 0
    for imported in imported_by(name, path):
        assert imported.partition(".")[0] != "tanren", f"{path}: {imported} must be imported relatively"
        top = imported.partition(".")[0]
        if (PACKAGE / top).is_dir() or (PACKAGE / f"{top}.py").is_file():
            assert rank(imported) <= own, f"{path} reaches up to {imported}"


@pytest.mark.parametrize("part", ["engine", "objectives", "checkpoint", "networks"])
def test_only_recipes_and_the_command_table_name_a_family(part):
    for name, path in modules():
        if name.partition(".")[0] == part:
            named = [item for item in imported_by(name, path) if item.startswith("families.")]
            assert [item for item in named if not item.startswith("families.base")] == [], path


def test_data_makes_no_import_of_its_own():
    tree = ast.parse((PACKAGE / "data" / "__init__.py").read_text("utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


@pytest.mark.parametrize("folder", ["trainer", "scripts", "tests"])
def test_folders_whose_names_others_use_are_no_packages(folder):
    assert not list((ROOT / folder).glob("__init__.py"))
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_launcher_can_be_read_by_a_python_that_is_too_old():
    tree = ast.parse((ROOT / "launch.py").read_text("ascii"), feature_version=(3, 6))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr))]
