"""ControlNet-LLLite in two real processes with a batch of 2: what one process with a batch of 4 learns."""

from __future__ import annotations

import sys

import pytest
import torch
from recipes.training import metadata, tensors
from several import run_several
from small_datasets import noise_picture
from tanren.entry import main
from tiny_models import tiny_sd

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
COMMAND, STEPS = "sdxl_train_control_net_lllite", 3


def test_two_processes_have_the_gradient_of_one_with_twice_the_batch(tmp_path):
    model = tiny_sd(tmp_path / "model.safetensors", "shallow sdxl")
    for number in range(4):
        noise_picture(tmp_path / "pictures" / f"{number}.png", text=f"noise, number {number}")
        noise_picture(tmp_path / "controls" / f"{number}.png")

    def words(name: str, batch: int) -> list[str]:
        return [
            *(f"--pretrained_model_name_or_path={model}", f"--train_data_dir={tmp_path / 'pictures'}"),
            *(f"--conditioning_data_dir={tmp_path / 'controls'}", f"--output_dir={tmp_path / name}"),
            *("--output_name=mine", "--resolution=64", "--caption_extension=.txt", f"--train_batch_size={batch}"),
            *(f"--max_train_epochs={STEPS}", "--cond_emb_dim=4", "--network_dim=6", "--seed=1"),
            # SGD moves a weight by rate times gradient, so equal weights mean equal gradients.
            *("--optimizer_type=SGD", "--learning_rate=10", "--max_grad_norm=0", "--max_data_loader_n_workers=0"),
            f"--data_dir={tmp_path / name / 'data'}",
        ]

    assert main(COMMAND, words("alone", 4)) == 0
    assert run_several(lambda _: main(COMMAND, words("together", 2))) == [0, 0]

    one, two = (tmp_path / name / "mine.safetensors" for name in ("alone", "together"))
    assert (metadata(two)["ss_steps"], metadata(two)["ss_total_batch_size"]) == (str(STEPS), "4")
    first, second = tensors(one), tensors(two)
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=1e-4, atol=1e-6)
    assert max(float(tensor.abs().max()) for name, tensor in first.items() if ".up.0.weight" in name) > 1e-4
