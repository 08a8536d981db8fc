"""A checkout whose packages are tiny, so that making its environment takes seconds; for tests of set-ups."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from small_wheels import Index, write_wheel

ROOT = Path(__file__).parents[2]
PINS = "# [trainer]\ntiny-one==1.0\ntiny-two==1.0\n\n# [tagging]\nonnxruntime==1.0\n\n# [needed by these]\n"


def make_checkout(root: Path) -> Path:
    """The launcher, the package without its heavy parts, a pin file and the wheels it names."""
    shutil.copyfile(ROOT / "launch.py", root / "launch.py")
    leave_out = shutil.ignore_patterns("assets", "__pycache__", "micro", "models", "engine")
    shutil.copytree(ROOT / "trainer" / "tanren", root / "trainer" / "tanren", ignore=leave_out)
    (root / "pins.txt").write_text(PINS, "utf-8")
    wheels = root / "wheels"
    wheels.mkdir()
    write_wheel(wheels, "tiny-one", "1.0", size=600_000)
    write_wheel(wheels, "tiny-two", "1.0")
    write_wheel(wheels, "onnxruntime", "1.0")
    return root


def only_from(index: Index) -> dict[str, str]:
    """Variables under which pip asks this index and no other, whatever the machine's own settings of pip say."""
    return {"PIP_INDEX_URL": index.address, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
