"""What `launch.py test` runs inside the environment: format, lint and types of the code, then the tests.

Everything runs even after something failed; pytest comes last, so that its closing line is the last one. The exit code
is pytest's, or 1 when only one of the checks before it failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .child_process import child_environment
from .paths import package_folder
from .webui_gradio import WebUIGradio

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
CHECKS = (
    ("format", ("ruff", "format", "--check", ".")),
    ("lint", ("ruff", "check", ".")),
    ("types", ("mypy",)),
)


def main(words: Sequence[str] | None = None) -> int:
    """Check the code, run the tests, return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python launch.py test",
        description="Check the code and run the tests. Words that are not listed here go to pytest.",
    )
    parser.add_argument("--proof", action="store_true", help="run the long tests too")
    parser.add_argument("--no-checks", action="store_true", help="leave out format, lint and types")
    chosen, for_pytest = parser.parse_known_args(words)
    root = package_folder().parents[1]
    # Made while the checks run: one waits for the network, the others for the processor.
    gradio = WebUIGradio(root, Path(sys.prefix))
    failed = [] if chosen.no_checks else [name for name, command in CHECKS if not _passes(name, command, root)]
    print(_browser_line())
    pythons = gradio.variables()
    for name, value in pythons.items():
        print(f"{name}: {value}")
    if failed:
        print(f"Did not pass: {', '.join(failed)} (shown above; the exit code will say so).")
    # With one worker a core, threads below it only wait for each other.
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    environment = {**child_environment(PYTHONPATH=str(package_folder().parent), OMP_NUM_THREADS=threads), **pythons}
    command = [sys.executable, "-m", "pytest", *_spread(for_pytest)]
    command += ["--proof", *for_pytest] if chosen.proof else for_pytest
    sys.stdout.flush()
    code = subprocess.run(command, cwd=root, env=environment, check=False).returncode
    return code or int(bool(failed))


def find_browser() -> str | None:
    """A Chromium the browser tests can drive: TANREN_BROWSER, or one on the PATH."""
    named = os.environ.get("TANREN_BROWSER")
    found = [path for path in map(shutil.which, [named] if named else BROWSERS) if path]
    return found[0] if found else None


def _browser_line() -> str:
    browser = find_browser()
    if browser is None:
        return "Browser: no Chromium here, so tests that drive a browser are left out (install chromium to have them)."
    return f"Browser: {browser}"


def _passes(name: str, command: Sequence[str], root: Path) -> bool:
    print(f"Checking {name} …", flush=True)
    environment = child_environment(PYTHONPATH=str(package_folder().parent))
    return subprocess.run([sys.executable, "-m", *command], cwd=root, env=environment, check=False).returncode == 0


def _spread(for_pytest: Sequence[str]) -> list[str]:
    """Share the test files out among the cores, unless the user says how."""
    cores = min(os.cpu_count() or 1, 4)
    said = any(word in ("-n", "--numprocesses", "--pdb", "-s") or word.startswith("-n") for word in for_pytest)
    return [] if said or cores == 1 else ["-n", str(cores), "--dist", "loadfile"]


if __name__ == "__main__":
    sys.exit(main())
