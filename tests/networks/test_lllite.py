"""ControlNet-LLLite: its layers, names and shapes, and that it computes what readers of its files compute."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from diffusers import UNet2DConditionModel
from networks.lllite_reader import change, modules_of, name_in_files, steer
from safetensors.torch import load_file
from tanren.checkpoint.weights import save_weights
from tanren.errors import ModelFileError, UsageError
from tanren.families import sdxl
from tanren.families.layers import unet_layers
from tanren.formats.network_kind import network_kind
from tanren.models.configs import STANDARD
from tanren.networks import lllite
from tanren.networks.base import LearningRates
from tanren.networks.lllite_layer import Control, LlliteLayer, patches_of
from tanren.networks.lllite_size import depth_of, lllite_size, numbers_for_sdxl
from tanren.options.lllite import LlliteOptions
from tiny_models import tiny_parts
from torch import nn

# What sd-webui-controlnet asserts of every layer it reads.
A1111 = re.compile(r"lllite_unet_(input_blocks_\d+|middle_block)_1_transformer_blocks_\d+_attn[12]_to_[qkv]")
PICTURE_HW = (64, 96)


def targets_of(unet):
    return list(unet_layers(unet, sdxl.unet_path, sdxl.block_index))


def attached(unet, seed=1, **options):
    return lllite.attach(targets_of(unet), LlliteOptions(**{"cond_emb_dim": 4, "network_dim": 6, **options}), seed)


@pytest.fixture(scope="module")
def full_size():
    """A network of usual size for the real SDXL, whose own weights are not needed."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**STANDARD["sdxl"].unet)
    return unet, attached(unet, cond_emb_dim=32, network_dim=64).tensors()


def test_a_file_for_sdxl_has_136_layers_and_1600_tensors(full_size):
    _, tensors = full_size
    layers = modules_of(tensors)

    assert (len(layers), len(tensors)) == (136, 1600)
    assert sum(tensor.numel() for tensor in tensors.values()) == 22_969_600 == numbers_for_sdxl(32, 64)
    assert all(A1111.fullmatch(name) for name in layers)
    assert next(iter(layers)) == "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    nodes = [re.search(r"input_blocks_\d_1|middle_block_1", name)[0] for name in layers]
    counts = {node: nodes.count(node) for node in nodes}
    assert counts == {
        **{"input_blocks_4_1": 8, "input_blocks_5_1": 8, "input_blocks_7_1": 40, "input_blocks_8_1": 40},
        "middle_block_1": 40,
    }
    assert not any("attn2_to_k" in name or "attn2_to_v" in name or "to_out" in name for name in layers)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "lllite_unet_input_blocks_5_1_transformer_blocks_1_attn2_to_q",
            {
                "conditioning1.0.weight": (16, 3, 4, 4),
                "conditioning1.0.bias": (16,),
                "conditioning1.2.weight": (32, 16, 4, 4),
                "conditioning1.2.bias": (32,),
                "down.0.weight": (64, 640),
                "down.0.bias": (64,),
                "mid.0.weight": (64, 96),
                "mid.0.bias": (64,),
                "up.0.weight": (640, 64),
                "up.0.bias": (640,),
            },
        ),
        (
            "lllite_unet_middle_block_1_transformer_blocks_9_attn1_to_v",
            {
                "conditioning1.0.weight": (16, 3, 4, 4),
                "conditioning1.0.bias": (16,),
                "conditioning1.2.weight": (16, 16, 4, 4),
                "conditioning1.2.bias": (16,),
                "conditioning1.4.weight": (32, 16, 2, 2),
                "conditioning1.4.bias": (32,),
                "down.0.weight": (64, 1280),
                "down.0.bias": (64,),
                "mid.0.weight": (64, 96),
                "mid.0.bias": (64,),
                "up.0.weight": (1280, 64),
                "up.0.bias": (1280,),
            },
        ),
    ],
)
def test_shapes_are_those_of_the_format(full_size, name, shapes):
    layer = modules_of(full_size[1])[name]
    assert {part: tuple(tensor.shape) for part, tensor in layer.items()} == shapes


def test_every_layer_has_the_shapes_of_its_depth(full_size):
    unet, tensors = full_size
    modules = {name_in_files(path): module for path, module in unet.named_modules()}
    for name, layer in modules_of(tensors).items():
        width = modules[name].in_features
        assert layer["down.0.weight"].shape == (64, width)
        assert ("conditioning1.4.weight" in layer) == (width == 1280)


def test_the_size_is_known_from_the_header_of_a_checkpoint_or_a_folder(full_size):
    unet, _ = full_size
    folder = {name: tuple(tensor.shape) for name, tensor in unet.named_parameters()}
    checkpoint = {
        f"model.diffusion_model.{sdxl.unet_path(name.removesuffix('.weight'))}.weight": shape
        for name, shape in folder.items()
        if "transformer_blocks" in name and name.endswith(".weight")
    }
    for shapes in (folder, checkpoint):
        size = lllite_size(shapes, 32, 64)
        assert (size.unet_layers, size.numbers) == (136, 22_969_600)


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q", 1),
        ("input_blocks.4.1.transformer_blocks.1.attn2.to_q.weight", 2),
        ("down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_v", 3),
        ("mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight", 3),
        ("lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k", None),
        ("lora_unet_output_blocks_3_1_transformer_blocks_0_attn1_to_q", None),
        ("lora_unet_input_blocks_4_1_transformer_blocks_0_ff_net_2", None),
    ],
)
def test_depth_follows_from_the_place_in_the_u_net(name, depth):
    assert depth_of(name) == depth


def lively(network, seed=3):
    """As training leaves it: `up` is not zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".up." in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("copies", [1, 2])
def test_a_layer_computes_what_a_reader_computes(depth, copies):
    torch.manual_seed(depth)
    leaf, control = nn.Linear(10, 7), Control()
    layer = lively(LlliteLayer(leaf, control, depth, 4, 6, 0.0, 1))
    nn.init.normal_(layer.up[0].weight)
    picture, cell = torch.rand(3, 3, *PICTURE_HW) * 2 - 1, 4 * 2**depth
    x = torch.randn(3 * copies, PICTURE_HW[0] // cell * (PICTURE_HW[1] // cell), 10)
    control.show(picture)
    control.multiplier = 0.7

    expected = nn.functional.linear(x + 0.7 * change(dict(layer.state_dict()), x, picture), leaf.weight, leaf.bias)

    torch.testing.assert_close(leaf(x), expected)
    parameters = [x.requires_grad_(), *layer.parameters()]
    weights = torch.linspace(-1, 1, expected.numel()).view(expected.shape)
    stated = dict(layer.named_parameters())
    again = nn.functional.linear(x + 0.7 * change(stated, x, picture), leaf.weight, leaf.bias)
    ours = torch.autograd.grad((leaf(x) * weights).sum(), parameters)
    theirs = torch.autograd.grad((again * weights).sum(), parameters)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_patches_are_what_a_convolution_sees():
    values = torch.arange(2 * 5 * 6 * 3.0).view(2, 5, 6, 3)

    patches = patches_of(values, 2)

    assert patches.shape == (2, 2, 3, 12)
    expected = nn.functional.unfold(values.movedim(-1, 1)[:, :, :4], 2, stride=2).transpose(1, 2).view(2, 2, 3, 12)
    assert torch.equal(patches, expected)


LAYERS = 20


@pytest.fixture
def unet():
    """With one transformer layer a block, hence 20 steered layers."""
    return tiny_parts("shallow sdxl").unet.requires_grad_(False)


def predicted(unet, latents=None, batch=2):
    generator = torch.Generator().manual_seed(8)
    latents = torch.randn(1, 4, *(side // 8 for side in PICTURE_HW), generator=generator).expand(batch, -1, -1, -1)
    added = {"text_embeds": torch.ones(batch, 20), "time_ids": torch.ones(batch, 6, dtype=torch.long)}
    with torch.no_grad():
        return unet(latents, torch.tensor([500] * batch), torch.ones(batch, 77, 40), added_cond_kwargs=added).sample


PICTURES = torch.rand(1, 3, *PICTURE_HW, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_fresh_network_changes_nothing(unet):
    before = predicted(unet)
    network = attached(unet)
    network.show(PICTURES)

    assert torch.equal(predicted(unet), before)


def test_a_saved_file_steers_the_model_of_a_reader_in_the_same_way(unet, tmp_path):
    other = copy.deepcopy(unet)
    network = lively(attached(unet)).eval()
    network.show(PICTURES)
    network.set_multiplier(0.8)
    save_weights(tmp_path / "control.safetensors", network.tensors(), None, {})

    assert steer(other, load_file(tmp_path / "control.safetensors"), PICTURES, 0.8) == LAYERS
    ours, theirs = predicted(unet), predicted(other)

    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    network.show(None)
    assert (ours - predicted(unet)).abs().max() > 0.01


def test_without_a_picture_or_at_strength_0_the_model_is_as_it_was(unet):
    before = predicted(unet)
    network = lively(attached(unet)).eval()

    assert torch.equal(predicted(unet), before)
    network.show(PICTURES)
    network.set_multiplier(0.0)
    assert torch.equal(predicted(unet), before)
    network.set_multiplier(1.0)
    assert not torch.equal(predicted(unet), before)
    network.remove()
    assert torch.equal(predicted(unet), before)


def test_loading_a_file_gives_the_same_output_again(unet, tmp_path):
    network = lively(attached(unet)).eval()
    network.show(PICTURES)
    before = predicted(unet)
    save_weights(tmp_path / "control.safetensors", network.tensors(), None, {})
    network.remove()

    again = attached(unet, seed=9).eval()
    again.load(load_file(tmp_path / "control.safetensors"), "control.safetensors")
    again.show(PICTURES)

    assert torch.equal(predicted(unet), before)


def layer_of_a_file(key, width, depth, channels, dim, seed):
    """A layer as a changed trainer may have written it, with sizes of its own."""
    sides = {1: [(4, 3), (2, 2)], 2: [(4, 3), (4, 2)], 3: [(4, 3), (4, 2), (2, 2)]}[depth]
    shapes = {"down.0": (dim, width), "mid.0": (dim, dim + channels), "up.0": (width, dim)}
    half = channels // 2
    for place, (side, _) in enumerate(sides):
        out = channels if place == len(sides) - 1 else half
        shapes[f"conditioning1.{2 * place}"] = (out, 3 if place == 0 else half, side, side)
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{key}.{part}.{kind}": torch.randn(shape if kind == "weight" else shape[:1], generator=generator) * 0.5
        for part, shape in shapes.items()
        for kind in ("weight", "bias")
    }


def test_layers_of_the_blocks_that_go_up_are_steered_where_a_file_has_them(unet):
    blocks = {
        "lllite_unet_output_blocks_2_1_transformer_blocks_0_attn1_to_v": (
            "up_blocks.0.attentions.2.transformer_blocks.0.attn1.to_v",
            (24, 3, 4, 6),
        ),
        "lllite_unet_output_blocks_4_1_transformer_blocks_0_attn2_to_q": (
            "up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_q",
            (16, 2, 8, 5),
        ),
        "lllite_unet_middle_block_1_transformer_blocks_0_ff_net_2": (
            "mid_block.attentions.0.transformer_blocks.0.ff.net.2",
            (96, 3, 2, 3),
        ),
    }
    tensors = {}
    for seed, (key, (_, sizes)) in enumerate(blocks.items()):
        tensors |= layer_of_a_file(key, *sizes, seed=seed)
    other, plain = copy.deepcopy(unet), predicted(unet)
    for key, (path, _) in blocks.items():
        layer = modules_of(tensors)[key]
        other.get_submodule(path).register_forward_pre_hook(
            lambda _, given, layer=layer: (given[0] + 0.8 * change(layer, given[0], PICTURES),)
        )

    network = lllite.attach_like(targets_of(unet), tensors, "file.safetensors").eval()
    network.show(PICTURES)
    network.set_multiplier(0.8)

    assert set(network.layers) == set(blocks)
    torch.testing.assert_close(predicted(unet), predicted(other), rtol=1e-4, atol=1e-4)
    assert (predicted(unet) - plain).abs().max() > 0.01


TEXT_KEYS = "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
FIRST_KEY = "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "This is no ControlNet-LLLite"),
        ({"lora_unet_x.alpha": torch.ones(1)}, "This is no ControlNet-LLLite"),
        (layer_of_a_file(TEXT_KEYS, 40, 2, 4, 6, 1), "attn2_to_k.* is not in the model"),
        (layer_of_a_file("lllite_unet_nowhere", 16, 2, 4, 6, 1), "nowhere.* is not in the model"),
        (layer_of_a_file(FIRST_KEY, 17, 2, 4, 6, 1), r"down.0.weight is \[6, 17\], here \[6, 16\] is needed"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_leave_the_model_as_it_was(unet, tensors, message):
    before = predicted(unet)

    with pytest.raises(ModelFileError, match=message):
        lllite.attach_like(targets_of(unet), tensors, "file.safetensors").show(PICTURES)

    assert not any("forward" in module.__dict__ for module in unet.modules())
    assert torch.equal(predicted(unet), before)


def test_sides_that_are_no_multiple_of_32_are_steered_too(unet):
    network = lively(attached(unet)).eval()
    latents = torch.randn(1, 4, 9, 11, generator=torch.Generator().manual_seed(2))
    added = {"text_embeds": torch.ones(1, 20), "time_ids": torch.ones(1, 6, dtype=torch.long)}
    network.show(torch.rand(1, 3, 72, 88) * 2 - 1)

    with torch.no_grad():
        result = unet(latents, torch.tensor([5]), torch.ones(1, 77, 40), added_cond_kwargs=added).sample

    assert result.shape == latents.shape
    assert torch.isfinite(result).all()


def test_the_picture_is_encoded_once_while_pictures_are_drawn(unet, monkeypatch):
    network = lively(attached(unet)).eval()
    calls = []
    encode = LlliteLayer.encode
    monkeypatch.setattr(LlliteLayer, "encode", lambda self, patches: calls.append(self) or encode(self, patches))
    network.show(PICTURES)

    first, second = predicted(unet), predicted(unet)
    network.show(PICTURES.flip(3))
    third = predicted(unet)

    assert len(calls) == 2 * LAYERS
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_the_start_depends_on_seed_and_name_alone(unet):
    torch.manual_seed(5)
    first = attached(unet, seed=1).tensors()
    torch.manual_seed(6)
    state = torch.get_rng_state()
    second = attached(unet, seed=1).tensors()

    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = attached(unet, seed=2).tensors()
    assert not any(torch.equal(first[name], other[name]) for name in first if ".up." not in name)
    assert not any(tensor.any() for name, tensor in first.items() if ".up." in name)


def test_dropout_is_on_while_training_only():
    leaf, control = nn.Linear(4, 4), Control()
    layer = lively(LlliteLayer(leaf, control, 2, 4, 64, 0.5, 1))
    nn.init.normal_(layer.up[0].weight)
    control.show(torch.rand(1, 3, 32, 32))
    x = torch.randn(1, 4, 4)

    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_it_learns_as_one_group_at_the_rate_of_the_u_net(unet):
    network = attached(unet)
    (group,) = network.parameter_groups(LearningRates(1e-4, unet=2e-4))

    assert (group.name, group.lr) == ("unet", 2e-4)
    assert sum(parameter.numel() for parameter in group.params) == sum(t.numel() for t in network.tensors().values())
    assert network.trains_unet and not network.trains_text_encoder
    assert network.parameter_groups(LearningRates(1e-4, unet=0.0)) == []
    assert network.trainable() == []


def test_our_own_reader_knows_the_file(full_size):
    kind = network_kind({name: tuple(tensor.shape) for name, tensor in full_size[1].items()})

    assert (kind.type, kind.family, len(kind.layers), kind.unknown, kind.misfits) == ("lllite", "sdxl", 136, 0, ())
    assert kind.naming == "kohya (LLLite)"


@pytest.mark.parametrize(
    ("change_file", "message"),
    [
        (
            lambda tensors: tensors.pop("lllite_unet_middle_block_1_transformer_blocks_0_attn2_to_q.up.0.bias"),
            "missing",
        ),
        (lambda tensors: tensors.update({"lora_unet_x.alpha": torch.ones(1)}), "lora_unet_x.alpha is not in the model"),
    ],
)
def test_a_file_of_another_network_is_refused(unet, change_file, message):
    network = attached(unet)
    tensors = network.tensors()
    change_file(tensors)

    with pytest.raises(ModelFileError, match=message):
        network.load(tensors, "file.safetensors")


def test_a_file_of_other_sizes_is_refused_with_both_shapes(unet):
    with pytest.raises(ModelFileError, match=r"is \[2, 3, 4, 4\], here \[4, 3, 4, 4\] is needed"):
        attached(unet, cond_emb_dim=8).load(attached(unet).tensors(), "file.safetensors")


@pytest.mark.parametrize("options", [{"cond_emb_dim": 3}, {"cond_emb_dim": None}, {"network_dim": None}])
def test_sizes_that_make_no_network_are_refused(unet, options):
    with pytest.raises(UsageError, match="make no control network"):
        attached(unet, **options)


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(UsageError, match="has no layers for ControlNet-LLLite"):
        lllite.attach([], LlliteOptions(cond_emb_dim=4, network_dim=4), 1)
