import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "step.py"


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft, the other side, is not installed")
def test_our_step_and_the_diffusers_loop_have_the_same_losses_and_ours_keeps_less():
    words = ["--unet", "tiny", "--pixels", "64", "--pairs", "2", "--no_memory", "--json"]

    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["counts"]
    assert result["loss_difference"] < 1e-5
    assert len(result["ratios"]) == 2
    assert result["kept_bytes"]["ratio"] <= 0.70
