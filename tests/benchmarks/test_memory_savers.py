"""The comparison of options that save memory: its rows are command lines that can be run."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.options.parse import parse
from tiny_models import tiny_sd

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "memory_savers.py"


@pytest.fixture(scope="module")
def savers():
    spec = importlib.util.spec_from_file_location("memory_savers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["memory_savers"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["checkpointing", "latents", "text", "fp8_base", "adamw8bit", "fused", "full_bf16", "accumulation"]
)
def test_both_sides_of_every_row_are_command_lines_without_a_problem(savers, name, tmp_path):
    place = savers.Place(tmp_path, tmp_path / "model.safetensors", 256, 32, 3)
    row = savers.ROWS[name]

    for words in (row.without, row.using):
        problems = Problems()
        parse("sdxl_train_network", COMMANDS["sdxl_train_network"].groups, [*place.common, *words], problems)
        assert problems.errors == []
    assert row.without != row.using


def test_a_row_tells_memory_and_times_of_both_sides(savers):
    without = {"peak": 7_500_000_000, "steps": 7_000_000_000, "seconds": [9.0, 8.0, 8.5]}
    using = {"peak": 7_250_000_000, "steps": 6_000_000_000, "seconds": [10.0]}

    assert savers.line(savers.ROWS["checkpointing"], without, using) == (
        "| `--gradient_checkpointing` | 7.50 → 7.25 GB | 7.00 → 6.00 GB | 8.0 s (8.5) → 10.0 s (10.0) |"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
def test_whole_trainings_of_a_tiny_model_are_compared(tmp_path):
    model = tiny_sd(tmp_path / "tiny.safetensors", "sdxl")
    words = ["--rows", "latents", "--model", str(model), "--pixels", "64", "--rank", "2", "--rounds", "1"]

    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, encoding="utf-8")

    assert done.returncode == 0, done.stderr
    *_, row = done.stdout.splitlines()
    assert row.startswith("| `--cache_latents` | ")
    assert row.count(" → ") == 3
