"""How far a set-up is, from what pip prints."""

from __future__ import annotations

import pytest
from tanren.environment import Environment
from tanren.ui.setup_progress import Progress, closing_words, progress_of

LOG = """\
The trainer needs Python packages of its own (it was not made yet).
Making /x/.venv with Python 3.11.7 …
Looking in indexes: https://packages.example/simple
Collecting torch==2.13.0 (from -c pins.txt (line 20))
  Downloading torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl.metadata (29 kB)
Collecting numpy
  Using cached numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl (16.6 MB)
Collecting charset-normalizer<4,>=2 (from requests->diffusers)
Downloading https://packages.example/whl/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl (190.1 MB)
""".splitlines()
INSTALLING = [*LOG, "Installing collected packages: charset-normalizer, numpy, torch"]


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    return Environment(tmp_path)


def test_before_it_says_anything_it_has_started(environment):
    assert progress_of([], environment) == Progress("start")
    assert progress_of(LOG[:2], environment) == Progress("make")


def test_packages_are_counted_while_they_come(environment):
    half = environment.folder / ".tn-downloads" / "pip-unpack-1"
    half.mkdir(parents=True)
    (half / "torch.whl").write_bytes(bytes(1234))
    assert progress_of(LOG, environment) == Progress("download", "torch", done=1, total=3, bytes=1234)


def test_packages_are_counted_as_they_are_put_in_place(environment):
    info = environment.folder / "lib" / "python3.11" / "site-packages" / "charset_normalizer-3.4.0.dist-info"
    info.mkdir()
    assert progress_of(INSTALLING, environment) == Progress("install", "charset-normalizer", done=0, total=3)
    (info / "RECORD").touch()
    assert progress_of(INSTALLING, environment) == Progress("install", "numpy", done=1, total=3)


def test_at_last_the_packages_are_tried(environment):
    assert progress_of([*INSTALLING, "Trying the packages …"], environment) == Progress("try")


def test_a_failure_is_told_in_its_last_words_and_pips_reason():
    lines = [
        "ERROR: Could not find a version that satisfies the requirement x==9 (from versions: 1.0)",
        "ERROR: No matching distribution found for x==9",
        "The packages could not be installed.",
        "  The lines above give the reason.",
    ]
    what, why = closing_words(lines)
    assert what == "The packages could not be installed."
    assert why.endswith("No matching distribution found for x==9")


def test_without_words_of_pip_the_reason_is_the_line_below():
    assert closing_words(["/x: 2 GB are needed.", "  Free some space."]) == ("/x: 2 GB are needed.", "Free some space.")
    assert closing_words([]) == ("", "")
