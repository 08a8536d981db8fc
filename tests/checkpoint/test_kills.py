"""Writers killed at random moments: what is visible is always whole."""

import multiprocessing
import os
import random
import signal
import sys
import time

import pytest
import torch
from faults import leftovers, names_in
from tanren.checkpoint.choosing import choose_state
from tanren.checkpoint.describe import Session
from tanren.checkpoint.fingerprint import Fingerprint
from tanren.checkpoint.state import TrainState, load_state, save_state
from tanren.checkpoint.weights import load_weights, save_weights
from tanren.files import append_line, cut_torn_line, read_lines, write_json
from tanren.folders import sweep

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork")
PRINT = Fingerprint({}, "", "", "", 1, "cpu", "no")
NEVER = 2.0**40


def write_for_ever(folder, first, is_up):
    is_up.set()
    for step in range(first, first + 100_000):
        weights = {"w": torch.full((64, 64), float(step)), "v": torch.full((3,), float(step))}
        save_weights(folder / "cat.safetensors", weights, None, {"ss_steps": str(step)})
        save_weights(folder / "cat.pt", weights, torch.float64, {})
        state = TrainState(
            step, 0, 0, weights, {}, {}, None, {"torch": torch.get_rng_state()}, Session(1, 0.0, 42), PRINT
        )
        save_state(folder / "cat-state", state)
        write_json(folder / "progress.json", {"step": step})
        append_line(folder / "events.jsonl", f'{{"step": {step}}}')


def check(folder):
    """Every visible file is whole, and none is newer than what is written before it; returns the newest step."""
    assert not set(names_in(folder)) - {"cat.safetensors", "cat.pt", "cat-state", "progress.json", "events.jsonl"}
    steps = []
    for name in ("cat.safetensors", "cat.pt"):
        if (folder / name).exists():
            weights = load_weights(folder / name)
            assert weights["w"].unique().tolist() == weights["v"].unique().tolist()
            steps.append(int(weights["v"][0]))
    if (folder / "cat-state").exists():
        state, _ = load_state(choose_state(folder / "cat-state")[0], PRINT)
        assert state.weights["v"].unique().tolist() == [state.step]
        steps.append(state.step)
    lines = read_lines(folder / "events.jsonl")
    assert all(line.startswith('{"step": ') and line.endswith("}") for line in lines)
    assert steps == sorted(steps, reverse=True)
    return max(steps, default=0)


@pytest.mark.rule("flt-01")
@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.proof)])
def test_whatever_is_killed_while_writing_what_is_visible_is_whole(tmp_path, kills):
    context = multiprocessing.get_context("fork")
    moments = random.Random(7)
    step, found = 0, 0

    for _ in range(kills):
        is_up = context.Event()
        writer = context.Process(target=write_for_ever, args=(tmp_path, step + 1, is_up))
        writer.start()
        assert is_up.wait(30)
        time.sleep(moments.uniform(0, 0.12))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(30)
        found += len(leftovers(tmp_path))
        sweep(tmp_path, NEVER)
        cut_torn_line(tmp_path / "events.jsonl")
        step = check(tmp_path)

    assert step > 0
    assert kills < 100 or found > 0
