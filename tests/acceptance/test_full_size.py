"""A full-size Stable Diffusion 1.5, with random weights, really trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from recipes.training import TRAINER, arguments, tensors
from small_datasets import noise_picture
from tiny_models import full_size_sd15

MEASURED_RUN = """
import json, sys, time
from pathlib import Path
from tanren.entry import main

began = time.monotonic()
code = main("train_network", sys.argv[1:])
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
print(json.dumps([code, peak, time.monotonic() - began]))
"""
GIB = 2**30


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    path = full_size_sd15(tmp_path_factory.mktemp("model") / "sd15.safetensors")
    yield path
    path.unlink()


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("options", "tensor_count", "most_gib"),
    [
        ({}, 792, 8),
        ({"network_args": ["conv_dim=4", "conv_alpha=1"]}, 1050, 8),
        ({"mixed_precision": "bf16", "gradient_checkpointing": True, "cache_latents": True}, 792, 5),
    ],
    ids=["plain", "convolutions", "bf16 and checkpointing"],
)
def test_three_steps_at_256_pixels(full_size, tmp_path, options, tensor_count, most_gib):
    for number in range(3):
        noise_picture(tmp_path / "data/1_noise" / f"{number}.png", (256, 256), text=f"noise, number {number}")
    changes = {"train_batch_size": 1, "max_train_steps": 3, "max_train_epochs": None, "max_data_loader_n_workers": 0}
    words = arguments(full_size, tmp_path / "data", tmp_path, resolution=256, max_bucket_reso=256, **changes, **options)

    done = subprocess.run(
        [sys.executable, "-c", MEASURED_RUN, *words],
        env={**os.environ, "PYTHONPATH": str(TRAINER), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    code, peak, seconds = json.loads(done.stdout.splitlines()[-1])

    print(f"peak {peak / GIB:.2f} GiB, {seconds:.0f} s with loading, {options}")
    assert code == 0, done.stderr
    found = tensors(tmp_path / "waves.safetensors")
    assert len(found) == tensor_count
    assert all(tensor.any() for name, tensor in found.items() if name.endswith("lora_up.weight"))
    assert peak < most_gib * GIB
