"""Which tests run: the long ones on request, those for a browser or a GPU where there is one."""

from __future__ import annotations

import importlib.util
import signal

import pytest
from tanren.verification import find_browser

LONGEST = ("ui/whole/", "test_real_training", "test_train_form")


def pytest_addoption(parser):
    parser.addoption("--proof", action="store_true", help="run the long tests too")


def pytest_configure(config):
    # A shell that starts the tests in the background lets them, and every program they start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--proof"):
        long = [item for item in items if item.get_closest_marker("proof")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    # Files are handed out in this order, and the longest ones must not come last, when one core has nothing left to do.
    items.sort(key=lambda item: not any(part in item.nodeid for part in LONGEST))
    _skip(items, "browser", find_browser() is not None, "no Chromium here")
    _skip(items, "gpu", has_gpu(), "no CUDA device here")


def has_gpu():
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _skip(items, marker, possible, reason):
    marked = [item for item in items if item.get_closest_marker(marker)]
    if not possible:
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))
