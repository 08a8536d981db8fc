import pytest
import torch
from tanren.errors import ModelFileError
from tanren.families.base import LoraTarget
from tanren.networks.lora_weights import merge, read_layers
from torch import nn


def layer(name="lora_unet_a", rank=2, outs=3, ins=4, **changes) -> dict[str, torch.Tensor]:
    tensors = {
        f"{name}.lora_down.weight": torch.ones(rank, ins),
        f"{name}.lora_up.weight": torch.ones(outs, rank),
        f"{name}.alpha": torch.tensor(1.0),
    }
    return {**tensors, **changes}


def targets(module: nn.Module, key="lora_unet_a") -> list[LoraTarget]:
    return [LoraTarget(key, module, "unet", "Transformer2DModel", 1)]


def complaint(tensors) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_layers(tensors, "bad.safetensors")
    return str(caught.value)


def test_a_missing_alpha_means_the_rank():
    tensors = layer()
    del tensors["lora_unet_a.alpha"]

    assert read_layers(tensors, "x")["lora_unet_a"].alpha == 2.0


def test_text_encoder_names_without_text_model_are_read():
    tensors = layer("lora_te_encoder_layers_0_mlp_fc1") | layer("lora_te1_encoder_layers_0_mlp_fc1")

    assert set(read_layers(tensors, "x")) == {
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
    }


@pytest.mark.rule("mdl-05")
def test_other_kinds_of_networks_are_named():
    message = complaint({"lora_unet_a.hada_w1_a": torch.ones(1), **layer("lora_unet_b")})

    assert "bad.safetensors: this is not a plain LoRA: lora_unet_a.hada_w1_a" in message


@pytest.mark.rule("mdl-05")
def test_half_a_layer_is_refused():
    tensors = layer()
    del tensors["lora_unet_a.lora_up.weight"]

    assert "lora_unet_a without lora_up.weight" in complaint(tensors)


@pytest.mark.rule("mdl-05")
def test_factors_of_different_rank_are_refused():
    bad = {"lora_unet_a.lora_up.weight": torch.ones(3, 5)}

    assert "down and up of lora_unet_a do not fit each other: [2, 4] and [3, 5]." in complaint(layer(**bad))


@pytest.mark.rule("mdl-05")
@pytest.mark.parametrize("name", ["lora_down.weight", "lora_up.weight", "alpha"])
def test_values_that_are_not_finite_are_refused(name):
    tensors = layer()
    tensors[f"lora_unet_a.{name}"] = tensors[f"lora_unet_a.{name}"] * float("nan")

    assert "lora_unet_a has values that are not finite." in complaint(tensors)


def test_alpha_with_several_numbers_is_refused():
    assert "alpha of lora_unet_a is not one number." in complaint(layer(**{"lora_unet_a.alpha": torch.ones(2)}))


def test_an_empty_file_is_refused():
    assert "this file holds no layers." in complaint({})


@pytest.mark.rule("mdl-05")
def test_layers_the_model_does_not_have_are_listed():
    tensors = {}
    for index in range(7):
        tensors |= layer(f"lora_unet_x{index}")

    with pytest.raises(ModelFileError) as caught:
        merge(targets(nn.Linear(4, 3)), tensors, 1.0, "sdxl.safetensors")

    text = str(caught.value)
    assert "sdxl.safetensors: 7 layers of this file are not in the model: lora_unet_x0, lora_unet_x1" in text
    assert "and 2 more" in text


def test_a_layer_of_another_size_is_refused_before_anything_changes():
    module = nn.Linear(5, 3).requires_grad_(False)
    before = module.weight.clone()

    with pytest.raises(ModelFileError, match="changes a layer of 3×4"):
        merge(targets(module), layer(), 1.0, "x")

    assert torch.equal(module.weight, before)


def test_merging_adds_multiplier_times_alpha_over_rank_times_up_times_down():
    module = nn.Linear(4, 3).requires_grad_(False)
    before = module.weight.clone()

    merge(targets(module), layer(), 0.5, "x")

    torch.testing.assert_close(module.weight - before, torch.full((3, 4), 0.5 * (1 / 2) * 2))


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("live", [torch.float16, torch.bfloat16, torch.float32])
def test_merging_computes_in_float32_whatever_both_sides_are_stored_in(stored, live):
    module = nn.Linear(4, 3).requires_grad_(False).to(live)
    tensors = {name: (tensor * 0.3).to(stored) for name, tensor in layer().items()}
    down, up, alpha = (
        tensors[f"lora_unet_a.{part}"].float() for part in ("lora_down.weight", "lora_up.weight", "alpha")
    )
    expected = (module.weight.float() + alpha / 2 * up @ down).to(live)

    merge(targets(module), tensors, 1.0, "x")

    assert module.weight.dtype == live
    torch.testing.assert_close(module.weight, expected)


def test_a_file_for_1x1_convolutions_fits_a_linear_layer_and_the_other_way_round():
    linear, conv = nn.Linear(4, 3).requires_grad_(False), nn.Conv2d(4, 3, 1).requires_grad_(False)
    before = linear.weight.clone(), conv.weight.clone()
    as_conv = {name: tensor[..., None, None] if tensor.dim() == 2 else tensor for name, tensor in layer().items()}

    merge(targets(linear), as_conv, 1.0, "x")
    merge(targets(conv), layer(), 1.0, "x")

    torch.testing.assert_close(linear.weight - before[0], torch.ones(3, 4))
    torch.testing.assert_close(conv.weight - before[1], torch.ones(3, 4, 1, 1))
