"""`demo`: its flags; what it does stands in `demonstration`, which needs the trainer's packages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..paths import repository_folder, resolve_user_path


def main(words: Sequence[str]) -> int:
    """Run the demo and return the exit code."""
    usual = (repository_folder() or Path.cwd()) / "demo-result"
    parser = argparse.ArgumentParser(prog="demo", description="Train a LoRA on the embedded model; show the result.")
    parser.add_argument("--out", default=str(usual), metavar="FOLDER", help="folder of the result (%(default)s)")
    parser.add_argument("--steps", type=int, help="training steps; the usual number takes some minutes on two cores")
    parser.add_argument("--model", choices=("sd15", "sdxl"), default="sd15", help="which embedded model (%(default)s)")
    chosen = parser.parse_args(words)
    # Help needs neither numpy nor Pillow, so that it works before there is an environment.
    from . import demonstration

    try:
        folder = resolve_user_path(chosen.out, "new folder", where="--out")
        return demonstration.run(folder, chosen.steps, demonstration.BASES[chosen.model])
    except UserError as problem:
        print(problem, file=sys.stderr)
        return problem.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
