"""Two processes with a batch of B learn what one process with a batch of 2·B learns."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
from acceptance.processes import wait_until
from recipes.training import (
    TRAINER,
    arguments,
    base_model,
    metadata,
    ordinary_pictures,
    same_tensors,
    tensors,
    train,
)
from several import run_several
from small_datasets import noise_picture
from tanren.entry import main

STEPS = 4
# SGD moves a weight by rate times gradient, so equal weights mean equal gradients.
PLAIN = {
    "max_train_epochs": STEPS,
    "optimizer_type": "SGD",
    "learning_rate": "0.1",
    "max_grad_norm": 0,
    "max_data_loader_n_workers": 0,
}
# What `accelerate config` writes for two devices of one machine.
CONFIGURATION = """
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
machine_rank: 0
main_training_function: main
mixed_precision: bf16
num_machines: 1
num_processes: 2
"""
ACCELERATE = ["-m", "accelerate.commands.launch"]
LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--nproc_per_node", "2"],
    "accelerate": [*ACCELERATE, "--multi_gpu", "--num_processes", "2", "--num_machines", "1"],
    "accelerate config": [*ACCELERATE, "--config_file={configuration}", "--num_cpu_threads_per_process", "1"],
}


@pytest.fixture(scope="module")
def four_pictures(tmp_path_factory):
    """One bucket and one batch of four an epoch: each process then takes two of the same four."""
    folder = tmp_path_factory.mktemp("data")
    for number in range(4):
        noise_picture(folder / "1_noise" / f"{number}.png", text=f"noise, number {number}")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return base_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def alone(model, four_pictures, tmp_path_factory):
    """What one process learns with all four."""
    out = tmp_path_factory.mktemp("one")
    train(model, four_pictures, out, train_batch_size=4, **PLAIN)
    return tensors(out / "waves.safetensors")


def started(launcher, words, folder):
    """Two processes, by a real launcher, whose configuration file lies in the folder."""
    environment = {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    configuration = folder / "accelerate.yaml"
    configuration.write_text(CONFIGURATION)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    option = "--master_port" if launcher == "torchrun" else "--main_process_port"
    given = [word.format(configuration=configuration) for word in LAUNCHERS[launcher]]
    return subprocess.Popen(
        [sys.executable, *given, f"{option}={port}", "train_network.py", *words],
        cwd=TRAINER,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )


def launch(launcher, words, folder):
    """Run in two processes; fails unless the exit code is 0."""
    running = started(launcher, words, folder)
    said, _ = running.communicate()
    assert running.returncode == 0, said
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end")
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_have_the_gradient_of_one_with_twice_the_batch(model, four_pictures, tmp_path, alone, launcher):
    said = launch(launcher, arguments(model, four_pictures, tmp_path, train_batch_size=2, **PLAIN), tmp_path)

    # Alone, a process with a batch of 2 makes two steps an epoch: so many steps only two processes make.
    facts = metadata(tmp_path / "waves.safetensors")
    assert (facts["ss_steps"], facts["ss_total_batch_size"]) == (str(STEPS), "4")
    together = tensors(tmp_path / "waves.safetensors")
    moved = 0.0
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-4, atol=1e-7)
        moved = max(moved, float(tensor.abs().max()) if name.endswith("lora_up.weight") else 0.0)
    assert moved > 1e-4
    warning = "--mixed_precision: accelerate launch was given bf16, which is not handed on; this run computes with no."
    assert said.count(warning) == (launcher == "accelerate config")


@pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end")
def test_two_processes_share_the_work_and_resume_as_two(model, tmp_path, capfd):
    """Several buckets, latents from a cache on the disk, states and sample pictures: one process writes them.

    Both go on from the state of the first epoch, without the pictures, and learn the same.
    """
    ordinary_pictures(tmp_path / "data" / "1_waves", count=5)
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("sks waves --w 64 --h 64 --s 2\n")
    options = {"cache_latents_to_disk": True, "save_state": True, "save_every_n_epochs": 1, "max_train_epochs": 2}
    samples = {"sample_prompts": prompts, "sample_every_n_epochs": 1}

    words = arguments(model, tmp_path / "data", out, **options, **samples)
    assert run_several(lambda index: main("train_network", words)) == [0, 0]

    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "sample",
        "waves-000001-state",
        "waves-000001.safetensors",
        "waves-state",
        "waves.safetensors",
    ]
    assert len(list((out / "sample").iterdir())) == 2
    assert capfd.readouterr().err.count("epoch 1 done") == 1

    state = out / "waves-000001-state"
    again = arguments(model, tmp_path / "data", tmp_path / "again", **options, resume=state)
    assert run_several(lambda index: main("train_network", again)) == [0, 0]
    assert same_tensors(tmp_path / "again/waves.safetensors", out / "waves.safetensors")


@pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end")
def test_a_signal_to_the_launcher_stops_both_processes_and_saves(model, four_pictures, tmp_path):
    endless = {"max_train_epochs": None, "max_train_steps": 1_000_000, "job_dir": tmp_path / "job"}
    words = arguments(model, four_pictures, tmp_path / "out", **{**PLAIN, **endless})
    events = tmp_path / "job/events.jsonl"
    running = started("torchrun", words, tmp_path)
    try:
        wait_until(lambda: events.exists() and '"kind": "step"' in events.read_text("utf-8"))
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=120)
    finally:
        running.kill()

    result = json.loads((tmp_path / "job/result.json").read_text("utf-8"))
    assert (result["state"], result["code"]) == ("stopped", 20), said
    # The end of an epoch has saved one of its own when the signal came late.
    assert len(list((tmp_path / "job/checkpoints").glob("step-*"))) in (1, 2)
