"""Which tests run: the long ones and those for a GPU on request, those for a browser where there is one."""

from __future__ import annotations

import importlib.util
import os
import signal

import pytest
from tanren.verification import find_browser

LONGEST = ("ui/whole/", "test_real_training", "test_train_form")


def pytest_addoption(parser):
    parser.addoption("--proof", action="store_true", help="run the long tests too")
    parser.addoption("--gpu", action="store_true", help="run the tests that need a CUDA device, and only these")


def pytest_configure(config):
    # A shell that starts the tests in the background lets them, and every program they start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.getoption("--gpu"):
        # All others hold to the bit what a CPU computes, some of them in two processes at once.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif not has_gpu():
        raise pytest.UsageError("--gpu: torch sees no CUDA device here.")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--proof"):
        long = [item for item in items if item.get_closest_marker("proof")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    # Files are handed out in this order, and the longest ones must not come last, when one core has nothing left to do.
    items.sort(key=lambda item: not any(part in item.nodeid for part in LONGEST))
    _skip(items, "browser", find_browser() is not None, "no Chromium here")
    for_gpu = [item for item in items if item.get_closest_marker("gpu")]
    left_out = [item for item in items if item not in for_gpu] if config.getoption("--gpu") else for_gpu
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


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
