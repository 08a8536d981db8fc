"""Our LoRA on SDXL: blocks, ranks and rates by block, and files with other spellings."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from tanren.errors import SeveralProblems, UsageError
from tanren.families import sdxl
from tanren.models.build import quiet_libraries
from tanren.models.configs import STANDARD
from tanren.networks.base import LearningRates
from tanren.networks.modules import attach_network
from tanren.options.network import NetworkOptions
from tiny_models import tiny_parts
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection


@pytest.fixture
def model():
    parts = tiny_parts("sdxl")
    for part in (parts.unet, *parts.text_encoders):
        part.requires_grad_(False)
    return SimpleNamespace(family=sdxl.FAMILY, denoiser=parts.unet, text_encoders=list(parts.text_encoders))


def attached(model, *args, read=lambda path: {}, **options):
    return attach_network(
        model, NetworkOptions(network_module="networks.lora", network_dim=2, network_args=args, **options), 1, read
    )


def ranks(network):
    return {key: len(layer.down) for key, layer in network.layers.items()}


@pytest.fixture(scope="module")
def full_size():
    """The real model's layers, without weights."""
    configs = STANDARD["sdxl"]
    first, second = (CLIPTextConfig(**config) for config in configs.text_encoders)
    with torch.device("meta"), quiet_libraries():
        unet = UNet2DConditionModel(**configs.unet)
        encoders = [CLIPTextModel(first), CLIPTextModelWithProjection(second)]
    return SimpleNamespace(family=sdxl.FAMILY, denoiser=unet, text_encoders=encoders)


@pytest.mark.parametrize(("args", "keys", "numbers"), [((), 2958, 3_563_008), (("conv_dim=1",), 3156, 3_977_408)])
def test_tensors_of_a_full_size_lora(full_size, args, keys, numbers):
    network = attach_network(
        full_size, NetworkOptions(network_module="networks.lora", network_dim=1, network_args=args), 1, lambda path: {}
    )

    tensors = network.tensors()
    network.remove()
    assert len(tensors) == keys
    assert sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith(".alpha")) == numbers


def test_block_dims_conv_dim_and_block_rates_follow_the_23_blocks(model):
    dims = ",".join(["2"] * 11 + ["4"] + ["2"] * 11)
    network = attached(
        model, f"block_dims={dims}", "conv_dim=1", "mid_lr_weight=1,0.5,0", "up_lr_weight=" + "1," * 8 + "0"
    )

    found = ranks(network)
    unet = [key for key in found if key.startswith("lora_unet_")]
    # Block 12, the last resnet of the middle, and block 21, the last one up, have the factor 0.
    assert len(unet) == 788 - 3 - 4
    assert not [key for key in unet if key.startswith(("lora_unet_middle_block_2", "lora_unet_output_blocks_8"))]
    assert found["lora_unet_middle_block_1_proj_in"] == 4
    assert found["lora_unet_input_blocks_4_1_proj_in"] == 2
    assert found["lora_unet_input_blocks_3_0_op"] == 1
    assert found["lora_unet_input_blocks_1_0_emb_layers_1"] == 2
    assert {found[key] for key in found if key.startswith("lora_te")} == {2}


def test_rates_follow_the_blocks_and_the_text_encoders(model):
    network = attached(model, "mid_lr_weight=1,0.5,0.25")

    groups = {group.name: group.lr for group in network.parameter_groups(LearningRates(1.0, 0.1, (0.01, 0.02)))}

    assert (groups["textencoder 1"], groups["textencoder 2"]) == (0.01, 0.02)
    assert groups["unet_block11"] == pytest.approx(0.05)
    # Blocks without attention have no layers unless conv_dim is given.
    assert sorted(int(name[10:]) for name in groups if name.startswith("unet_block")) == [
        *(5, 6, 8, 9, 11),
        *(13, 14, 15, 16, 17, 18),
    ]


def test_lists_of_another_length_are_refused(model):
    with pytest.raises((UsageError, SeveralProblems), match="block_dims has 25 numbers; this model has 23 blocks"):
        attached(model, "block_dims=" + ",".join(["2"] * 25))


def test_a_file_with_diffusers_names_is_read(model):
    trained = attached(model, network_train_unet_only=True).tensors()
    aliases = {target.key: target.alias for target in sdxl.lora_targets(model) if target.alias}
    theirs = {}
    for name, tensor in trained.items():
        layer, part = name.split(".", 1)
        theirs[f"{aliases.get(layer, layer)}.{part}"] = torch.full_like(tensor, 0.5)

    started = attached(model, read=lambda path: theirs, network_weights="x", network_train_unet_only=True).tensors()

    assert "lora_unet_down_blocks_1_attentions_0_proj_in.alpha" in theirs
    assert started.keys() == trained.keys()
    assert all(bool((tensor == 0.5).all()) for tensor in started.values())
