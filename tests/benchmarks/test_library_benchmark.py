"""The benchmark of the library runs, and its first rows come from the index."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_small_library_is_measured():
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "library.py"), "6"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "trainer")},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "6 files, 6 rows" in done.stdout
    assert re.search(r"^next scan .* \(6 kept\)$", done.stdout, re.MULTILINE)
