"""Interpreters with the three lines of gradio: AUTOMATIC1111's, Forge's, and our own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys

import pytest

LINES = (3, 4, 6)


def python_of(line: int) -> str:
    """An interpreter with this line; the test is skipped where there is none.

    The environment variables TANREN_GRADIO3_PYTHON and TANREN_GRADIO4_PYTHON name those of the WebUIs.
    """
    if line == 6:
        if importlib.util.find_spec("gradio") is None:
            pytest.skip("no gradio here")
        return sys.executable
    named = os.environ.get(f"TANREN_GRADIO{line}_PYTHON", "")
    if not named:
        pytest.skip(f"TANREN_GRADIO{line}_PYTHON names no interpreter; `launch.py test` makes one")
    found = shutil.which(named)
    # Named, and not there: it was to be made and could not be, and the text says why.
    assert found is not None, named
    return found
