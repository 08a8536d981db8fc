import hashlib
import re
from pathlib import Path

import pytest
import torch
from networks.tiny import forward, text_targets, tiny_text_encoder, tiny_unet, unet_targets
from tanren.errors import ModelFileError, UsageError
from tanren.networks.base import LearningRates
from tanren.networks.lora import attach, attach_like, load_start
from tanren.networks.lora_weights import merge
from tanren.options.network import NetworkOptions


def options(**values) -> NetworkOptions:
    values.setdefault("network_dim", 4)
    return NetworkOptions(network_module="networks.lora", **values)


def one_block_targets(unet=None):
    return unet_targets(unet or tiny_unet())


def randomise(network, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))


def groups_by_name(network, **rates):
    return {group.name: group for group in network.parameter_groups(LearningRates(**rates))}


def test_a_fresh_network_changes_nothing():
    unet = tiny_unet()
    before = forward(unet)

    attach(unet_targets(unet), options(network_args=("conv_dim=2",)), seed=1)

    torch.testing.assert_close(forward(unet), before, rtol=0, atol=1e-6)


def test_the_start_depends_on_seed_and_name_only():
    def down(seed, **values):
        torch.manual_seed(seed + 99)
        network = attach(one_block_targets(), options(**values), seed)
        return network.layers["lora_unet_mid_block_attentions_0_proj_out"].down

    assert torch.equal(down(1), down(1, network_args=("conv_dim=4",)))
    assert not torch.equal(down(1), down(2))


def test_down_starts_evenly_within_one_over_the_root_of_its_inputs():
    network = attach(one_block_targets(), options(network_dim=64), seed=1)

    for layer in network.layers.values():
        bound = layer.down[0].numel() ** -0.5
        assert layer.down.abs().max() <= bound
        assert layer.down.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
        assert not layer.up.any()


@pytest.mark.option("network_alpha")
def test_alpha_zero_means_alpha_equals_rank():
    network = attach(one_block_targets(), options(network_dim=8, network_alpha=0), seed=1)

    assert {layer.scale for layer in network.layers.values()} == {1.0}
    assert network.tensors()["lora_unet_mid_block_attentions_0_proj_in.alpha"].item() == 8


@pytest.mark.option("network_dim", "network_args")
def test_file_tensors_have_kohyas_names_and_shapes():
    tensors = attach(one_block_targets(), options(network_args=("conv_dim=3",)), seed=1).tensors()

    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    proj = "lora_unet_down_blocks_0_attentions_0_proj_in"
    assert shapes[f"{proj}.lora_down.weight"] == (4, 8, 1, 1)
    assert shapes[f"{proj}.lora_up.weight"] == (8, 4, 1, 1)
    assert shapes[f"{proj}.alpha"] == ()
    query = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    assert shapes[f"{query}.lora_down.weight"] == (4, 12)
    assert shapes[f"{query}.lora_up.weight"] == (16, 4)
    assert shapes["lora_unet_down_blocks_0_downsamplers_0_conv.lora_down.weight"] == (3, 8, 3, 3)
    assert shapes["lora_unet_down_blocks_0_downsamplers_0_conv.lora_up.weight"] == (8, 3, 1, 1)
    assert all(re.fullmatch(r"[^.]+\.(alpha|lora_(down|up)\.weight)", name) for name in tensors)


def test_convolution_rank_serves_3x3_kernels_only():
    tensors = attach(one_block_targets(), options(network_args=("conv_dim=3",)), seed=1).tensors()

    ranks = {name.split(".")[0]: tensor.shape[0] for name, tensor in tensors.items() if "lora_down" in name}
    assert ranks["lora_unet_mid_block_resnets_0_conv1"] == 3
    assert ranks["lora_unet_mid_block_resnets_0_time_emb_proj"] == 4
    assert ranks["lora_unet_up_blocks_0_resnets_0_conv_shortcut"] == 4


def test_plain_networks_after_one_with_convolutions_leave_resnets_alone():
    attach(one_block_targets(), options(network_args=("conv_dim=3",)), seed=1)

    plain = attach(one_block_targets(), options(), seed=1)

    assert not [key for key in plain.layers if "resnets" in key or "samplers" in key]


def test_blocks_with_rank_0_get_no_layers():
    ranks = ["0"] * 25
    ranks[12] = "2"

    network = attach(one_block_targets(), options(network_args=("block_dims=" + ",".join(ranks),)), seed=1)

    assert network.layers
    assert all("mid_block" in key for key in network.layers)


def test_nothing_left_to_train_is_refused():
    with pytest.raises(UsageError, match="no layer is left to train"):
        attach(one_block_targets(), options(network_args=("block_dims=" + ",".join(["0"] * 25),)), seed=1)


@pytest.mark.option("network_train_unet_only", "network_train_text_encoder_only")
@pytest.mark.parametrize(
    ("choice", "unet", "text"),
    [
        ({}, True, True),
        ({"network_train_unet_only": True}, True, False),
        ({"network_train_text_encoder_only": True}, False, True),
    ],
)
def test_only_the_chosen_models_are_touched(choice, unet, text):
    targets = unet_targets(tiny_unet()) + text_targets(tiny_text_encoder())

    network = attach(targets, options(**choice), seed=1)

    assert (network.trains_unet, network.trains_text_encoder) == (unet, text)
    assert any(key.startswith("lora_unet_") for key in network.layers) == unet
    assert any(key.startswith("lora_te_text_model_encoder_layers_0_") for key in network.layers) == text


def test_text_encoder_group_comes_first_with_its_own_rate():
    network = attach(unet_targets(tiny_unet()) + text_targets(tiny_text_encoder()), options(), seed=1)

    groups = network.parameter_groups(LearningRates(default=1e-3, text_encoders=(1e-4,)))

    assert [(group.name, group.lr) for group in groups] == [("textencoder", 1e-4), ("unet", 1e-3)]
    assert sum(len(group.params) for group in groups) == len(list(network.parameters()))


def test_a_rate_of_0_leaves_that_part_out():
    network = attach(unet_targets(tiny_unet()) + text_targets(tiny_text_encoder()), options(), seed=1)

    groups = network.parameter_groups(LearningRates(default=1e-3, text_encoders=(0.0,)))

    assert [group.name for group in groups] == ["unet"]
    assert not network.trains_text_encoder
    assert len(network.trainable()) == len(groups[0].params)


def test_block_factors_make_one_group_per_block_and_lora_plus_splits_each():
    args = ("mid_lr_weight=0.5", "loraplus_unet_lr_ratio=16")

    groups = groups_by_name(attach(one_block_targets(), options(network_args=args), seed=1), default=1e-3)

    assert groups["unet_block12"].lr == pytest.approx(0.5e-3)
    assert groups["unet_block12 plus"].lr == pytest.approx(8e-3)
    assert groups["unet_block1"].lr == pytest.approx(1e-3)
    assert {p.shape[1] for p in groups["unet_block12 plus"].params} == {4}


def test_lora_plus_raises_the_rate_of_up_only():
    network = attach(one_block_targets(), options(network_args=("loraplus_lr_ratio=16",)), seed=1)

    groups = groups_by_name(network, default=1e-3)

    assert {name: group.lr for name, group in groups.items()} == {"unet": 1e-3, "unet plus": 1.6e-2}
    assert all(not parameter.any() for parameter in groups["unet plus"].params)


def test_parameters_of_a_group_are_views_into_one_tensor():
    network = attach(one_block_targets(), options(), seed=1)
    before = network.tensors()

    (group,) = network.parameter_groups(LearningRates(default=1.0))
    group.flat.values.mul_(2)

    after = network.tensors()
    assert all(torch.equal(after[name], 2 * before[name]) for name in before if "lora" in name.split(".")[1])
    assert group.flat.values.numel() == sum(p.numel() for p in group.params)


def test_bound_gradients_gather_in_one_tensor_and_clear_in_place():
    unet = tiny_unet()
    network = attach(unet_targets(unet), options(), seed=1)
    (group,) = network.parameter_groups(LearningRates(default=1.0))
    flat = group.flat.bind_grads()

    forward(unet).sum().backward()

    assert flat.abs().sum() > 0
    assert torch.equal(torch.cat([p.grad.flatten() for p in group.params]), flat)
    group.flat.zero_grads()
    assert all(not p.grad.any() for p in group.params)


def test_casting_the_network_keeps_one_stretch_of_memory():
    network = attach(one_block_targets(), options(), seed=1)
    (group,) = network.parameter_groups(LearningRates(default=1.0))

    network.to(torch.bfloat16)

    assert group.flat.is_intact()
    assert group.flat.values.dtype == torch.bfloat16
    assert network.trainable()[0] is group.params[0]


def test_optimizers_see_ordinary_parameters():
    unet = tiny_unet()
    network = attach(unet_targets(unet), options(), seed=1)
    groups = network.parameter_groups(LearningRates(default=1e-2))
    optimizer = torch.optim.AdamW([{"params": group.params, "lr": group.lr} for group in groups])
    target = forward(unet).detach() + 1
    losses = []
    for _ in range(5):
        loss = (forward(unet) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())

    assert losses == sorted(losses, reverse=True)
    assert groups[0].flat.is_intact()


def test_text_encoder_layers_change_its_output():
    encoder = tiny_text_encoder()
    network = attach(text_targets(encoder), options(), seed=1)
    ids = torch.arange(6).view(1, 6)
    before = encoder(ids).last_hidden_state

    randomise(network)
    changed = encoder(ids).last_hidden_state
    network.set_multiplier(0)

    assert not torch.allclose(changed, before)
    assert torch.equal(encoder(ids).last_hidden_state, before)


def test_saved_tensors_put_back_give_the_same_network():
    unet = tiny_unet()
    network = attach(unet_targets(unet), options(network_args=("conv_dim=2",)), seed=1)
    randomise(network)
    saved, output = network.tensors(), forward(unet)
    randomise(network, seed=5)

    network.load_tensors(saved)

    assert torch.equal(forward(unet), output)
    assert all(torch.equal(saved[name], tensor) for name, tensor in network.tensors().items())


def test_saved_tensors_of_another_network_are_refused():
    small = attach(one_block_targets(), options(), seed=1)
    large = attach(one_block_targets(), options(network_args=("conv_dim=2",)), seed=1)

    with pytest.raises(ModelFileError, match="layers of this file are not in the model"):
        small.load_tensors(large.tensors())
    with pytest.raises(ModelFileError, match="layers of this file are not in the model"):
        large.load_tensors(small.tensors())


def test_saving_hands_independent_copies_to_the_writer():
    network = attach(one_block_targets(), options(), seed=1)
    network.parameter_groups(LearningRates(default=1.0))
    written = []

    network.save(Path("x.safetensors"), torch.float16, {"a": "b"}, lambda *given: written.append(given))

    ((path, tensors, dtype, metadata),) = written
    assert (path, dtype, metadata) == (Path("x.safetensors"), torch.float16, {"a": "b"})
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors.values()}) == len(tensors)


def test_max_norm_scales_both_factors_until_the_change_has_the_limit():
    network = attach(one_block_targets(), options(), seed=1)
    randomise(network)
    layers = list(network.layers.values())
    changes = [(layer.up.flatten(1) @ layer.down.flatten(1) * layer.scale).norm().item() for layer in layers]
    limit = sorted(changes)[len(changes) // 2]

    told = network.apply_max_norm(limit)

    after = [(layer.up.flatten(1) @ layer.down.flatten(1) * layer.scale).norm().item() for layer in layers]
    assert after == pytest.approx([min(change, limit) for change in changes], rel=1e-4)
    assert told.scaled.item() == sum(change > limit for change in changes)
    assert told.mean.item() == pytest.approx(sum(after) / len(after), rel=1e-4)
    assert told.maximum.item() == pytest.approx(limit, rel=1e-4)


def test_a_fresh_network_is_within_every_norm():
    told = attach(one_block_targets(), options(), seed=1).apply_max_norm(1.0)

    assert [value.item() for value in told] == [0, 0, 0]


def test_starting_from_a_file_with_the_same_ranks():
    first = attach(one_block_targets(), options(network_alpha=2), seed=1)
    randomise(first)
    unet = tiny_unet()
    network = attach(unet_targets(unet), options(network_alpha=1), seed=2)

    load_start(network, first.tensors(), unet_targets(unet), "start.safetensors")

    assert {layer.alpha for layer in network.layers.values()} == {2.0}
    assert all(torch.equal(tensor, first.tensors()[name]) for name, tensor in network.tensors().items())


def test_starting_from_a_file_with_fewer_or_more_layers_says_so():
    plain = attach(one_block_targets(), options(), seed=1)
    with_conv = attach(one_block_targets(), options(network_args=("conv_dim=2",)), seed=1)
    count = len(with_conv.layers) - len(plain.layers)

    load_start(with_conv, plain.tensors(), one_block_targets(), "a.safetensors")
    load_start(plain, with_conv.tensors(), one_block_targets(), "b.safetensors")

    assert with_conv.notes == [f"a.safetensors: {count} layers are not in the file and start fresh."]
    assert plain.notes == [f"b.safetensors: {count} layers of the file are not trained in this run and left away."]


def test_starting_from_a_file_of_another_rank_is_refused_with_the_way_out():
    file = attach(one_block_targets(), options(network_dim=2), seed=1).tensors()
    network = attach(one_block_targets(), options(network_dim=4), seed=1)

    with pytest.raises(ModelFileError) as caught:
        load_start(network, file, one_block_targets(), "rank2.safetensors")

    assert "add --dim_from_weights" in str(caught.value)


def test_dim_from_weights_takes_layers_ranks_and_alphas_of_the_file():
    args = ("conv_dim=3", "conv_alpha=1.5", "mid_lr_weight=0")
    first = attach(one_block_targets(), options(network_args=args, network_alpha=2), seed=1)
    randomise(first)
    unet = tiny_unet()

    network = attach_like(unet_targets(unet), first.tensors(), options(network_dim=None), seed=2)

    saved, again = first.tensors(), network.tensors()
    assert saved.keys() == again.keys()
    assert all(torch.equal(saved[name], again[name]) for name in saved)


def test_dim_from_weights_with_unet_only_leaves_the_text_encoder_of_the_file_away():
    unet, encoder = tiny_unet(), tiny_text_encoder()
    targets = unet_targets(unet) + text_targets(encoder)
    file = attach(unet_targets(tiny_unet()) + text_targets(tiny_text_encoder()), options(), seed=1).tensors()

    network = attach_like(targets, file, options(network_train_unet_only=True), seed=1)

    assert not network.trains_text_encoder
    assert "12 layers of the file are not trained" in network.notes[0]


def test_a_file_merged_into_the_model_equals_the_network_on_top_of_it():
    unet, merged = tiny_unet(), tiny_unet()
    network = attach(unet_targets(unet), options(network_args=("conv_dim=2",), network_alpha=3), seed=1)
    randomise(network)
    network.set_multiplier(0.7)

    count = merge(unet_targets(merged), network.tensors(), 0.7, "a.safetensors")

    assert count == len(network.layers)
    torch.testing.assert_close(forward(merged), forward(unet), rtol=1e-4, atol=1e-4)


def test_training_on_top_of_merged_weights_starts_at_the_merged_model():
    unet = tiny_unet()
    base = attach(unet_targets(tiny_unet()), options(), seed=1)
    randomise(base)
    merge(unet_targets(unet), base.tensors(), 1.0, "a.safetensors")
    before = forward(unet)

    attach(unet_targets(unet), options(), seed=2)

    torch.testing.assert_close(forward(unet), before, rtol=0, atol=1e-6)


def digest(names) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def full_unet(**changes):
    with torch.device("meta"):
        return tiny_unet(
            sample_size=64,
            block_out_channels=(320, 640, 1280, 1280),
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            layers_per_block=2,
            norm_num_groups=32,
            **changes,
        )


def full_text_encoder(layers: int):
    with torch.device("meta"):
        return tiny_text_encoder(num_hidden_layers=layers, hidden_size=768, intermediate_size=3072)


SD1 = {"cross_attention_dim": 768, "attention_head_dim": 8}
SD2 = {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True}


@pytest.mark.parametrize(
    ("config", "args", "count", "expected", "per_rank"),
    [
        (SD1, (), 192, "bdfc29d0bf3d9ac6", 423_936),
        (SD1, ("conv_dim=1",), 278, "620b9a8905915e25", 1_050_816),
        (SD2, (), 192, "bdfc29d0bf3d9ac6", 432_128),
        (SD2, ("conv_dim=1",), 278, "620b9a8905915e25", 1_059_008),
    ],
)
def test_names_and_sizes_on_full_size_unets(config, args, count, expected, per_rank):
    network = attach(unet_targets(full_unet(**config)), options(network_dim=1, network_args=args), seed=1)

    assert len(network.layers) == count
    assert digest(network.layers) == expected
    assert sum(parameter.numel() for parameter in network.parameters()) == per_rank


@pytest.mark.parametrize(
    ("layers", "count", "expected", "whole"),
    [(12, 72, "8da961b9692b4294", "3b0b58f74c4028ff"), (23, 138, "9df99b6511841d5a", "1d7e05c4353d4a57")],
)
def test_names_on_full_size_text_encoders_and_whole_models(layers, count, expected, whole):
    text = attach(text_targets(full_text_encoder(layers)), options(network_dim=1), seed=1)
    unet = attach(unet_targets(full_unet(**SD1)), options(network_dim=1), seed=1)

    assert len(text.layers) == count
    assert digest(text.layers) == expected
    assert digest([*text.layers, *unet.layers]) == whole
    if layers == 12:
        assert sum(parameter.numel() for parameter in text.parameters()) == 165_888
