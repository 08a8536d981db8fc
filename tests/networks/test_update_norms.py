"""Norms of updates, against the update itself."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from tanren.errors import ModelFileError
from tanren.networks.update_norms import BlockNorm, block_norms, main, update_norm


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_a_loras_norm_is_that_of_up_times_down():
    up, down = noise(6, 2), noise(2, 5)
    assert update_norm({"up": up, "down": down, "alpha": torch.tensor(1.0)}) == pytest.approx(
        float((0.5 * up @ down).norm()), rel=1e-5
    )
    assert update_norm({"up": up, "down": down}) == pytest.approx(float((up @ down).norm()), rel=1e-5)


def test_a_convolutions_norm_is_that_of_its_kernel():
    up, down = noise(6, 2, 1, 1), noise(2, 4, 3, 3)
    delta = torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down)
    assert update_norm({"up": up, "down": down}) == pytest.approx(float(delta.norm()), rel=1e-5)


def test_a_convolution_in_three_pieces():
    up, mid, down = noise(6, 2, 1, 1), noise(2, 2, 3, 3), noise(2, 4, 1, 1)
    delta = torch.einsum("or,rskl,si->oikl", up[:, :, 0, 0], mid, down[:, :, 0, 0])
    assert update_norm({"up": up, "mid": mid, "down": down}) == pytest.approx(float(delta.norm()), rel=1e-5)


def test_loha_lokr_and_differences():
    parts = [noise(6, 2), noise(2, 5), noise(6, 3), noise(3, 5)]
    loha = dict(zip(("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"), parts, strict=True))
    assert update_norm(loha) == pytest.approx(float(((parts[0] @ parts[1]) * (parts[2] @ parts[3])).norm()), rel=1e-5)
    w1, w2a, w2b = noise(2, 3), noise(4, 2), noise(2, 5)
    lokr = {"w1": w1, "w2_a": w2a, "w2_b": w2b, "alpha": torch.tensor(4.0)}
    assert update_norm(lokr) == pytest.approx(float(2 * torch.kron(w1, w2a @ w2b).norm()), rel=1e-5)
    assert update_norm({"diff": torch.full((2, 2), 3.0)}) == pytest.approx(6.0)


def test_no_norm_is_made_up_where_the_base_model_decides():
    assert update_norm({"up": noise(2, 1), "down": noise(1, 2), "magnitude": noise(1, 2)}) is None
    assert update_norm({"blocks": noise(2, 2, 2)}) is None


def test_blocks_of_a_file(tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    tensors = {}
    for layer, size in (("lora_unet_down_blocks_0_x", 3.0), ("lora_unet_down_blocks_0_y", 4.0), ("lora_te_x", 1.0)):
        tensors |= {f"{layer}.lora_down.weight": torch.ones(1, 1), f"{layer}.lora_up.weight": torch.full((1, 1), size)}
    tensors["lora_unet_mid_block_z.oft_blocks"] = torch.ones(1, 2, 2)
    save_file(tensors, path)

    assert sorted(block_norms(path), key=lambda norm: norm.block) == [
        BlockNorm("unet", "down 0", 2, pytest.approx(5.0), pytest.approx(4.0)),
        BlockNorm("unet", "mid", 0, 0.0, 0.0, 1),
        BlockNorm("te", "other", 1, pytest.approx(1.0), pytest.approx(1.0)),
    ]
    assert main([str(path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)[0]["blocks"]) == 3
    assert main([str(path)]) == 0
    assert "unet down 0         5.0000 " + "█" * 30 in capsys.readouterr().out


def test_a_damaged_file_is_code_4_and_the_others_are_shown(tmp_path, capsys):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    good = tmp_path / "good.safetensors"
    save_file({"lora_te_x.diff": torch.ones(1)}, good)

    assert main([str(bad), str(good)]) == 4
    said = capsys.readouterr()
    assert "good.safetensors" in said.out
    assert "bad.safetensors" in said.err


@pytest.mark.rule("mdl-05")
def test_tensors_that_do_not_fit_together_are_said(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"lora_te_x.lora_down.weight": torch.ones(2, 3), "lora_te_x.lora_up.weight": torch.ones(4, 5)}, path)

    with pytest.raises(ModelFileError, match="lora_te_x do not fit together"):
        block_norms(path)
