"""The benchmarks of pictures and captions run, with and without a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def measured(name: str, count: int, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), str(count)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "trainer"), **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_looking_editing_and_undoing_are_measured():
    said = measured("preparation.py", 120)

    assert re.search(r"^with index: first 50 rows [\d.]+ s", said, re.MULTILINE)
    assert re.search(r"^edit: .* for 120 captions$", said, re.MULTILINE)


@pytest.mark.browser
def test_the_tab_is_measured():
    pytest.importorskip("playwright")
    from tanren.verification import find_browser

    said = measured("preparation_page.py", 40, CHROMIUM=find_browser(), BENCHMARK_FRAMES="20")

    assert re.search(r"^with index: first pictures [\d.]+ s, all listed [\d.]+ s$", said, re.MULTILINE)
    assert re.search(r"^scrolling, all known: 19 frames", said, re.MULTILINE)
    assert re.search(r"^all captions: shown after [\d.]+ s", said, re.MULTILINE)
