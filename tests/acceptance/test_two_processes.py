"""Two processes with a batch of B learn what one process with a batch of 2·B learns."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch
from recipes.training import TRAINER, arguments, metadata, ordinary_pictures, same_tensors, tensors, train
from small_datasets import noise_picture

STEPS = 4
# SGD moves a weight by rate times gradient, so equal weights mean equal gradients.
PLAIN = {
    "max_train_epochs": STEPS,
    "optimizer_type": "SGD",
    "learning_rate": "0.1",
    "max_grad_norm": 0,
    "max_data_loader_n_workers": 0,
}
LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--nproc_per_node", "2"],
    "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"],
}


@pytest.fixture(scope="module")
def four_pictures(tmp_path_factory):
    """One bucket and one batch of four an epoch: each process then takes two of the same four."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(4):
        noise_picture(folder / "1_noise" / f"{number}.png", text=f"noise, number {number}")
    return folder


@pytest.fixture(scope="module")
def alone(micro, four_pictures, tmp_path_factory):
    """What one process learns with all four."""
    out = tmp_path_factory.mktemp("one")
    train(micro, four_pictures, out, train_batch_size=4, **PLAIN)
    return tensors(out / "waves.safetensors")


def launch(launcher, words):
    """Run in two processes; fails unless the exit code is 0."""
    environment = {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    option = "--main_process_port" if launcher == "accelerate" else "--master_port"
    done = subprocess.run(
        [sys.executable, *LAUNCHERS[launcher], f"{option}={port}", "train_network.py", *words],
        cwd=TRAINER,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end")
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_have_the_gradient_of_one_with_twice_the_batch(micro, four_pictures, tmp_path, alone, launcher):
    launch(launcher, arguments(micro, four_pictures, tmp_path, train_batch_size=2, **PLAIN))

    # Alone, a process with a batch of 2 makes two steps an epoch: so many steps only two processes make.
    facts = metadata(tmp_path / "waves.safetensors")
    assert (facts["ss_steps"], facts["ss_total_batch_size"]) == (str(STEPS), "4")
    together = tensors(tmp_path / "waves.safetensors")
    moved = 0.0
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-4, atol=1e-7)
        moved = max(moved, float(tensor.abs().max()) if name.endswith("lora_up.weight") else 0.0)
    assert moved > 1e-4


@pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end")
def test_two_processes_share_the_work_and_resume_as_two(micro, tmp_path):
    """Several buckets, latents from a cache on the disk, states and sample pictures: one process writes them.

    Both go on from the state of the first epoch, without the pictures, and learn the same.
    """
    ordinary_pictures(tmp_path / "data" / "1_waves", count=5)
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("sks waves --w 64 --h 64 --s 2\n")
    options = {"cache_latents_to_disk": True, "save_state": True, "save_every_n_epochs": 1, "max_train_epochs": 2}
    samples = {"sample_prompts": prompts, "sample_every_n_epochs": 1}

    said = launch("torchrun", arguments(micro, tmp_path / "data", out, **options, **samples))

    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "sample",
        "waves-000001-state",
        "waves-000001.safetensors",
        "waves-state",
        "waves.safetensors",
    ]
    assert len(list((out / "sample").iterdir())) == 2
    assert said.count("epoch 1 done") == 1

    state = out / "waves-000001-state"
    launch("torchrun", arguments(micro, tmp_path / "data", tmp_path / "again", **options, resume=state))
    assert same_tensors(tmp_path / "again/waves.safetensors", out / "waves.safetensors")
