"""A full-size Stable Diffusion XL, with random weights, trains in a fraction of 24 GB of main memory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recipes.training import arguments, tensors
from small_datasets import noise_picture

ROOT = Path(__file__).parents[2]
WRITE, MEASURE = ROOT / "tools" / "random_sdxl.py", ROOT / "benchmarks" / "measured_run.py"
GB = 10**9
# In half precision: U-Net, CLIP-L, OpenCLIP bigG, autoencoder; a file of them is as large.
UNET, TEXTS, VAE = 5.135 * GB, (0.246 + 1.389) * GB, 0.167 * GB
# Python with torch, diffusers and transformers is half of it; the rest is what a process does not give back at once.
PROCESS = 0.7 * GB
CACHED = {
    "network_train_unet_only": True,
    "cache_latents": True,
    "cache_text_encoder_outputs": True,
    "shuffle_caption": None,
}
LEARNING_TEXT = {"cache_latents": True}

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc"),
    pytest.mark.skipif(shutil.disk_usage("/").free < 10 * GB, reason="writes a model of 6.9 GB"),
]


@pytest.fixture
def model(request, tmp_path):
    """Written for one test, since two of them would be 14 GB."""
    path = tmp_path / "model"
    if request.param == "single file":
        path = path.with_suffix(".safetensors")
    words = [str(path)] if request.param == "single file" else [str(path), "--folder"]
    subprocess.run([sys.executable, str(WRITE), *words], check=True)
    yield path
    path.unlink() if path.is_file() else shutil.rmtree(path)


def train(model, folder, **options):
    """Two steps at 256 pixels in a process of its own: what its phases took."""
    for number in range(2):
        noise_picture(folder / "data/1_noise" / f"{number}.png", (256, 256), text=f"noise, number {number}")
    usual = {"train_batch_size": 1, "max_train_steps": 2, "max_train_epochs": None, "max_data_loader_n_workers": 0}
    memory = {"mixed_precision": "bf16", "gradient_checkpointing": True}
    words = arguments(model, folder / "data", folder, resolution=256, max_bucket_reso=256, **usual, **memory, **options)
    done = subprocess.run(
        [sys.executable, str(MEASURE), "sdxl_train_network", *words],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for name, found in told["phases"].items():
        print(f"{name}: at most {found['peak'] / GB:.2f} GB, {found['last'] / GB:.2f} at its end")
    return told["phases"]


@pytest.mark.parametrize("model", ["single file", "folder"], indirect=True)
def test_with_caches_only_the_unet_is_in_memory_while_it_trains(model, tmp_path):
    phases = train(model, tmp_path, **CACHED)

    assert phases["load"]["peak"] < UNET + TEXTS + VAE + PROCESS
    assert phases["cache text"]["last"] < UNET + VAE + PROCESS
    assert phases["cache latents"]["last"] < UNET + PROCESS
    # What learns (10.6 million numbers with their two moments and gradients) and one step at 256 pixels come on top.
    assert phases["train"]["peak"] < UNET + PROCESS + 0.3 * GB
    assert max(phase["peak"] for phase in phases.values()) < 8 * GB
    found = tensors(tmp_path / "waves.safetensors")
    assert len(found) == 3 * 722
    assert all(tensor.any() for name, tensor in found.items() if name.endswith("lora_up.weight"))


@pytest.mark.parametrize("model", ["single file"], indirect=True)
def test_with_text_encoders_that_learn_it_has_all_tensors(model, tmp_path):
    phases = train(model, tmp_path, **LEARNING_TEXT)

    assert max(phase["peak"] for phase in phases.values()) < 9 * GB
    assert len(tensors(tmp_path / "waves.safetensors")) == 2958
