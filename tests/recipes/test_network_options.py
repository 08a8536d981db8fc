"""What the options of the network do to the file that a real training leaves."""

from __future__ import annotations

import pytest
import torch
from recipes.training import tensors, train
from safetensors.torch import save_file
from tanren.models.save import write_single_file
from tiny_models import tiny_parts

SHORT = {"max_train_epochs": None, "max_train_steps": 1, "max_data_loader_n_workers": 0, "optimizer_type": "SGD"}
STILL = {**SHORT, "learning_rate": "1e-12"}
DIMS = ",".join(str(2 + index % 5) for index in range(25))
ALPHAS = ",".join(str(0.5 * (1 + index)) for index in range(25))
CONV_DIMS = ",".join(str(1 + index % 3) for index in range(25))
# A layer of some blocks, with the number that lists of 25 know the block by, and whether it is a wide convolution.
LAYERS = {
    "lora_unet_down_blocks_0_attentions_0_proj_in": (1, False),
    "lora_unet_down_blocks_0_downsamplers_0_conv": (3, True),
    "lora_unet_down_blocks_2_attentions_1_transformer_blocks_0_ff_net_2": (8, False),
    "lora_unet_down_blocks_3_resnets_1_conv2": (11, True),
    "lora_unet_down_blocks_3_resnets_1_time_emb_proj": (11, False),
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v": (12, False),
    "lora_unet_up_blocks_0_upsamplers_0_conv": (15, True),
    "lora_unet_up_blocks_3_attentions_2_proj_out": (24, False),
}


def shape_of(path):
    """Layer -> (rank, alpha)."""
    found = tensors(path)
    return {
        name.removesuffix(".alpha"): (found[f"{name.removesuffix('.alpha')}.lora_down.weight"].shape[0], float(alpha))
        for name, alpha in found.items()
        if name.endswith(".alpha")
    }


@pytest.fixture(scope="module")
def blocks(model, data, tmp_path_factory):
    """A LoRA with another rank and alpha in every block."""
    out = tmp_path_factory.mktemp("blocks")
    args = [f"block_dims={DIMS}", f"block_alphas={ALPHAS}", f"conv_block_dims={CONV_DIMS}", "mid_lr_weight=0.5"]
    train(model, data, out, **{**SHORT, "learning_rate": 10, "network_dim": 7, "network_alpha": 3}, network_args=args)
    return out / "waves.safetensors"


@pytest.mark.option("network_dim", "network_alpha", "network_args")
def test_every_block_has_its_rank_and_alpha(blocks):
    found = shape_of(blocks)

    assert len(found) == 278 + 18
    for layer, (index, is_wide) in LAYERS.items():
        expected = (1 + index % 3, 1.0) if is_wide else (2 + index % 5, 0.5 * (1 + index))
        assert (layer, found[layer]) == (layer, expected)
    assert {found[name] for name in found if name.startswith("lora_te_")} == {(7, 3.0)}


@pytest.mark.option("network_weights", "dim_from_weights")
def test_training_starts_from_the_weights_and_ranks_of_a_file(model, data, tmp_path, blocks):
    train(model, data, tmp_path / "alike", **STILL, network_weights=blocks, dim_from_weights=True, network_dim=None)
    train(model, data, tmp_path / "fresh", **STILL)

    alike, first = tensors(tmp_path / "alike" / "waves.safetensors"), tensors(blocks)
    assert alike.keys() == first.keys()
    assert all(torch.allclose(alike[name], first[name], rtol=0, atol=1e-9) for name in first)
    assert len(shape_of(tmp_path / "fresh" / "waves.safetensors")) == 192 + 18


@pytest.mark.option("network_train_unet_only", "network_train_text_encoder_only")
def test_only_one_part_is_in_the_file(model, data, tmp_path):
    train(model, data, tmp_path / "unet", **SHORT, network_train_unet_only=True)
    train(model, data, tmp_path / "text", **SHORT, network_train_text_encoder_only=True)

    unet, text = (shape_of(tmp_path / part / "waves.safetensors") for part in ("unet", "text"))
    assert len(unet) == 192 and all(name.startswith("lora_unet_") for name in unet)
    assert len(text) == 18 and all(name.startswith("lora_te_") for name in text)


def write_merged(path, *files_and_strengths):
    """The tiny base model with LoRA files added to its weights, each W + strength · alpha / rank · up · down."""
    parts = tiny_parts("sd1")
    modules = {
        **{"lora_unet_" + name.replace(".", "_"): module for name, module in parts.unet.named_modules()},
        **{
            "lora_te_text_model_" + name.removeprefix("text_model.").replace(".", "_"): module
            for name, module in parts.text_encoders[0].named_modules()
        },
    }
    for file, strength in files_and_strengths:
        found = tensors(file)
        for layer, (rank, alpha) in shape_of(file).items():
            up, down = (found[f"{layer}.lora_{part}.weight"].double().flatten(1) for part in ("up", "down"))
            weight = modules[layer].weight
            with torch.no_grad():
                weight.add_((strength * alpha / rank * (up @ down)).reshape(weight.shape).float())
    write_single_file(path, parts, dtype=torch.float32)
    return path


@pytest.mark.option("base_weights", "base_weights_multiplier")
def test_merged_files_are_part_of_the_model_that_is_trained_upon(model, data, tmp_path, blocks):
    """Difference learning: the same LoRA comes out when the files were merged into the checkpoint beforehand."""
    second = {
        name: tensor * (-2 if "lora_up" in name else 1) for name, tensor in tensors(blocks).items() if "lora_te" in name
    }
    save_file(second, tmp_path / "second.safetensors")
    files = [blocks, tmp_path / "second.safetensors"]
    learn = {**SHORT, "learning_rate": 1}
    by_hand = write_merged(tmp_path / "merged.safetensors", (files[0], 0.5), (files[1], 1.0))
    train(by_hand, data, tmp_path / "by hand", **learn)
    train(model, data, tmp_path / "by option", **learn, base_weights=files, base_weights_multiplier=[0.5])
    train(model, data, tmp_path / "full", **learn, base_weights=files)
    train(model, data, tmp_path / "without", **learn)

    hand, option, full, without = (
        tensors(tmp_path / name / "waves.safetensors") for name in ("by hand", "by option", "full", "without")
    )
    ups = [name for name in hand if "lora_up" in name]
    for name in ups:
        torch.testing.assert_close(option[name], hand[name], rtol=5e-3, atol=1e-5)
    for other in (full, without):
        assert max((other[name] - hand[name]).abs().max() for name in ups) > 100 * max(
            (option[name] - hand[name]).abs().max() for name in ups
        )
