"""The embedded model leaves the package as files that other programs read."""

from __future__ import annotations

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from tanren.micro import export
from tiny_models import tiny_sd


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    path = tiny_sd(tmp_path / "packaged.safetensors")
    monkeypatch.setattr(export, "asset", lambda *names: path)
    return path


def test_the_single_file_is_the_packaged_one_byte_for_byte(packaged, tmp_path, capsys):
    target = tmp_path / "新しい folder" / "out.safetensors"
    assert export.main(["sd15", str(target)]) == 0
    assert target.read_bytes() == packaged.read_bytes()
    assert capsys.readouterr().out.strip() == str(target)


def test_the_folder_is_read_by_diffusers_with_the_same_weights(packaged, tmp_path):
    assert export.main(["sd15", "--diffusers", str(tmp_path / "folder")]) == 0
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "folder", local_files_only=True)
    ours = load_file(packaged)["model.diffusion_model.input_blocks.0.0.weight"]
    assert torch.equal(pipeline.unet.conv_in.weight, ours)
    assert pipeline.tokenizer("sks")["input_ids"] == [49406, 48136, 49407]


@pytest.mark.parametrize("words", [["sd15"], ["sd15", "a.safetensors", "--diffusers", "b"]])
def test_exactly_one_target_is_wanted(packaged, words, capsys):
    assert export.main(words) == 2
    assert "Give either OUT.safetensors or --diffusers DIR." in capsys.readouterr().err


def test_another_kind_of_file_is_refused(packaged, tmp_path, capsys):
    assert export.main(["sd15", str(tmp_path / "out.ckpt")]) == 2
    assert "written as safetensors" in capsys.readouterr().err
