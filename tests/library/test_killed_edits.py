"""A process that dies while it edits metadata: the old file or the new one, complete, and the backup first."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time

import pytest
from faults import count_calls, die_at
from network_files import SD1_LORA, payload_of, write_network
from tanren.formats.safetensors_header import read_header
from tanren.library.backups import backups_of
from tanren.library.edit import Change, edit_file

posix = pytest.mark.skipif(os.name == "nt", reason="fork")
KILLS = 200


@posix
@pytest.mark.rule("flt-01")
def test_an_edit_killed_at_any_call_leaves_the_old_file_or_the_new_one_and_the_way_back(tmp_path):
    def edit(path):
        return edit_file(path, Change({"ss_output_name": "new"}), path.parent / "data")

    def fresh(name):
        (tmp_path / name).mkdir()
        return write_network(tmp_path / name / "x.safetensors", SD1_LORA, {"ss_output_name": "old"})

    counted = fresh("counted")
    calls = len(count_calls(lambda: edit(counted)))
    seen = set()
    for call in range(1, calls + 1):
        path = fresh(str(call))
        payload = payload_of(path)
        die_at(call, lambda path=path: edit(path))
        name = read_header(path).metadata["ss_output_name"]
        assert payload_of(path) == payload
        assert name == "old" or backups_of(path, path.parent / "data")
        seen.add(name)

    assert calls >= 10
    assert seen == {"old", "new"}


@posix
@pytest.mark.proof
@pytest.mark.rule("flt-01")
def test_200_of_200_edits_killed_at_random_moments_leave_a_complete_file(tmp_path):
    """Kills fall anywhere between two calls, in the midst of writes too; the seed makes a failure repeatable."""
    shapes = {**SD1_LORA, "lora_unet_mid_block_attentions_0_proj_in.diff": (512, 2048)}
    path = write_network(tmp_path / "x.safetensors", shapes, {"ss_output_name": "0"})
    payload, moments, cut_short = payload_of(path), random.Random(7), 0

    def edit_without_end():
        for number in range(10**9):
            edit_file(path, Change({"ss_output_name": "x" * (number % 3000)}), tmp_path / "data")

    for _ in range(KILLS):
        child = multiprocessing.get_context("fork").Process(target=edit_without_end)
        child.start()
        time.sleep(moments.uniform(0.005, 0.12))
        os.kill(child.pid, signal.SIGKILL)
        child.join(30)
        assert child.exitcode == -signal.SIGKILL
        assert set(read_header(path).metadata["ss_output_name"]) <= {"x", "0"}
        assert payload_of(path) == payload
        cut_short += any(name.name.startswith(".tn-") for name in tmp_path.iterdir())

    assert cut_short > 0
