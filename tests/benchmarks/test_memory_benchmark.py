"""The numbers that estimates of memory are made with are those of the training step as it is now."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tanren import vram

ROOT = Path(__file__).parents[2]


def measured(*words):
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "memory.py"), *words],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["dtype"]: line["KiB_per_cell_and_sample"] for line in lines}


@pytest.mark.parametrize(
    ("unet", "kind", "side", "tolerance"),
    [("sd15", "sd1", "256", 0.09), pytest.param("sdxl", "sdxl", "1024", 0.15, marks=pytest.mark.proof)],
)
def test_factors_of_the_estimate_are_those_of_the_real_shapes(unet, kind, side, tolerance):
    found, known = measured("--unet", unet, "--sides", side), vram.KNOWN[kind]

    for dtype, share in (("torch.float32", 1.0), ("torch.bfloat16", 0.5)):
        expected = {
            "step": known.step,
            "step with checkpointing": known.checkpointed_step,
            "prediction": known.prediction,
            "encode": vram.ENCODING,
            "decode": vram.DECODING,
        }
        for name, count in expected.items():
            assert found[dtype][name] == pytest.approx(count / 1024 * share, rel=tolerance), (dtype, name)
