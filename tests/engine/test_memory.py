"""Memory that was freed does not stay with the process."""

import sys
from pathlib import Path

import pytest
import torch
from tanren.engine.memory import return_free_memory

PIECE, COUNT = 16_384, 4_000


def resident():
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
def test_memory_freed_between_pieces_that_are_in_use_goes_back_to_the_system():
    pieces = [torch.ones(PIECE // 4) for _ in range(2 * COUNT)]
    kept = pieces[::2]
    del pieces
    before = resident()

    return_free_memory()

    assert before - resident() > 0.5 * PIECE * COUNT
    assert all(bool((piece == 1).all()) for piece in kept)
