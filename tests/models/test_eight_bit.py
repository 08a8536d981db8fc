"""Frozen weights in 8 bits: what is stored, what is computed with it, and what autograd keeps."""

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from networks.tiny import forward_model, text_targets, tiny_model, tiny_text_encoder, tiny_unet, unet_targets
from tanren.engine.precision import Precision, keep_whole, place, shrink_weights
from tanren.errors import EnvironmentProblem
from tanren.events import Report
from tanren.families import sd, sdxl
from tanren.families.base import Placement
from tanren.models import eight_bit
from tanren.models.build import quiet_libraries
from tanren.models.configs import STANDARD
from tanren.models.frozen import FrozenLinear
from tanren.models.lean import make_lean
from tanren.networks.base import LearningRates
from tanren.networks.lora import attach
from tanren.networks.lora_weights import merge
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.network import NetworkOptions
from tanren.options.spec import Settings
from tiny_models import tiny_parts, tiny_sd
from torch import nn

CPU = torch.device("cpu")
FLOAT8, FLOAT32 = torch.float8_e4m3fn, torch.float32
FAMILIES = {"sd1": sd, "sdxl": sdxl}


def rounded(weight):
    """The nearest number with 3 bits of mantissa, an exponent from -6 on and no larger than 448; ties to even."""
    exact = weight.detach().double().numpy()
    exponent = np.floor(np.log2(np.maximum(np.abs(exact), 2.0**-6)))
    step = 2.0 ** (exponent - 3)
    return torch.from_numpy(np.clip(np.round(exact / step) * step, -448, 448))


def load(path, family, placement):
    groups = [ModelOptions(pretrained_model_name_or_path=str(path)), AttentionOptions(), DatasetOptions()]
    command = "sdxl_train_network" if family == "sdxl" else "train_network"
    return FAMILIES[family].load(Settings(command, groups), placement, Report())


def stored(model):
    return {name for name, parameter in model.named_parameters() if parameter.dtype is FLOAT8}


@pytest.mark.option("fp8_base", "fp8_base_unet")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("everything", [True, False])
def test_weights_of_the_blocks_are_stored_rounded_to_eight_bits(tmp_path, family, everything):
    path = tiny_sd(tmp_path / "model.safetensors", family)
    placement = Placement(CPU, torch.bfloat16, FLOAT32, unet_in_eight_bits=True, text_in_eight_bits=everything)

    model = load(path, family, placement)

    original = dict(tiny_parts(family).unet.named_parameters())
    for name, parameter in model.denoiser.named_parameters():
        is_small = name.split(".")[0] in ("down_blocks", "mid_block", "up_blocks") and parameter.ndim > 1
        assert parameter.dtype is (FLOAT8 if is_small else torch.bfloat16), name
        if is_small:
            assert torch.equal(parameter.double(), rounded(original[name])), name
    for encoder in model.text_encoders:
        matrices = {name for name, parameter in encoder.named_parameters() if "layers" in name and parameter.ndim > 1}
        assert stored(encoder) == (matrices if everything else set())
    assert stored(model.vae) == set()


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_a_full_size_unet_takes_half_the_memory_of_half_precision(kind):
    with torch.device("meta"), quiet_libraries():
        unet = UNet2DConditionModel(**STANDARD[kind].unet)
    numbers = {name: (tuple(parameter.shape), parameter.numel()) for name, parameter in unet.named_parameters()}

    taken = sum(count * (1 if eight_bit.of_unet(name, shape) else 2) for name, (shape, count) in numbers.items())

    assert taken < 0.51 * sum(2 * count for _, count in numbers.values())


def dequantised(make, choice):
    """The same model twice: in 8 bits, and in float64 with the rounded numbers."""
    small, plain = make(), make()
    exact = {
        name: rounded(weight) if choice(name, tuple(weight.shape)) else weight
        for name, weight in plain.state_dict().items()
    }
    plain.load_state_dict(exact)
    eight_bit.shrink(small, choice)
    return small, plain.double()


def predicted(unet, dtype):
    generator = torch.Generator().manual_seed(3)
    x, text = (torch.randn(shape, generator=generator).to(dtype) for shape in ((2, 4, 16, 16), (2, 7, 12)))
    return unet(x, torch.tensor([10, 700]), text).sample


def test_a_unet_predicts_what_one_with_rounded_weights_predicts():
    small, plain = dequantised(tiny_unet, eight_bit.of_unet)

    torch.testing.assert_close(predicted(small, FLOAT32).double(), predicted(plain, torch.float64), rtol=0, atol=2e-6)


def test_a_text_encoder_says_what_one_with_rounded_weights_says():
    small, plain = dequantised(tiny_text_encoder, eight_bit.of_text_encoder)
    ids = torch.tensor([[62, 5, 9, 63]])

    torch.testing.assert_close(small(ids)[0].double(), plain(ids)[0], rtol=0, atol=2e-6)


def lora_on(unet, **options):
    network = attach(unet_targets(unet), NetworkOptions(network_dim=4, network_alpha=4, **options), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def gradients(unet, network, dtype):
    network.zero_grad()
    prediction = predicted(unet, dtype)
    (prediction * torch.linspace(-1, 1, prediction.numel()).view(prediction.shape)).sum().backward()
    return [parameter.grad.double() for parameter in network.parameters()]


@pytest.mark.parametrize("args", [(), ("conv_dim=2",)])
@pytest.mark.parametrize("how", ["plain", "lean", "checkpointing"])
def test_gradients_of_a_lora_are_those_over_rounded_weights(args, how):
    small, plain = dequantised(tiny_unet, eight_bit.of_unet)
    exact = gradients(plain, lora_on(plain, network_args=args).double(), torch.float64)
    network = lora_on(small, network_args=args)
    if how != "plain":
        make_lean(small)
    if how == "checkpointing":
        small.enable_gradient_checkpointing()
        small.train()

    for ours, theirs in zip(gradients(small, network, FLOAT32), exact, strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm() + 1e-9


@pytest.mark.parametrize("autocast", [False, True])
def test_no_cast_weight_is_kept_for_the_backward_pass(autocast):
    unet = tiny_unet().to(torch.bfloat16)
    eight_bit.shrink(unet, eight_bit.of_unet)
    shapes = {tuple(parameter.shape) for name, parameter in unet.named_parameters() if name in stored(unet)}
    network = lora_on(unet, network_args=("conv_dim=2",))
    # A layer without a LoRA has to cast for itself.
    network.layers["lora_unet_mid_block_attentions_0_proj_in"].remove()
    make_lean(unet)
    own = {parameter.untyped_storage().data_ptr() for parameter in [*unet.parameters(), *network.parameters()]}
    kept = []

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in own and tensor.dtype.itemsize > 1:
            kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = predicted(unet, torch.bfloat16).float().sum()
        assert kept
    low_rank = {tuple(parameter.shape) for parameter in network.parameters()}
    assert {shape for shape in kept if shape in shapes - low_rank and len(shape) == 4} == set()
    loss.backward()


def test_a_frozen_linear_keeps_its_weight_alone():
    weight = torch.randn(6, 4).to(FLOAT8)
    x = torch.randn(3, 4, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        y = FrozenLinear.apply(x, weight, None)

    assert [tensor.data_ptr() for tensor in kept] == [weight.data_ptr()]
    y.sum().backward()
    torch.testing.assert_close(x.grad, weight.float().sum(0).expand(3, 4))


def learned(*, small):
    """Losses of 30 steps, and the network."""
    model = tiny_model()
    shrink_weights(model, Placement(CPU, FLOAT32, FLOAT32, unet_in_eight_bits=small, text_in_eight_bits=small))
    targets = [*text_targets(model.text_encoders[0]), *unet_targets(model.denoiser)]
    network = attach(targets, NetworkOptions(network_dim=4), seed=1)
    groups = network.parameter_groups(LearningRates(default=3e-2))
    make_lean(model.denoiser)
    optimizer = torch.optim.AdamW([{"params": group.params, "lr": group.lr} for group in groups])
    target = forward_model(model).detach() + 1
    losses = []
    for _ in range(30):
        loss = (forward_model(model) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, network


@pytest.mark.option("fp8_base", "fp8_base_unet")
def test_a_lora_learns_on_a_base_in_eight_bits_as_much_as_on_the_whole_one():
    losses, network = learned(small=True)
    as_usual, _ = learned(small=False)

    assert losses[-1] < 0.8 * losses[0]
    assert losses[-1] == pytest.approx(as_usual[-1], rel=0.05)
    assert all(layer.up.any() for layer in network.layers.values())
    assert {tensor.dtype for tensor in network.tensors().values()} == {FLOAT32}


def test_what_is_merged_into_the_base_is_merged_before_it_is_rounded():
    model = tiny_model()
    targets = unet_targets(model.denoiser)
    (target,) = (one for one in targets if one.key.endswith("mid_block_attentions_0_proj_in"))
    before = target.module.weight.detach().clone()
    down, up = torch.full((1, *before.shape[1:]), 0.01), torch.full((before.shape[0], 1, 1, 1), 0.01)
    placement = Placement(CPU, FLOAT32, FLOAT32, unet_in_eight_bits=True)
    assert keep_whole(placement).unet_in_eight_bits is False

    merge(targets, {f"{target.key}.lora_down.weight": down, f"{target.key}.lora_up.weight": up}, 0.5, "it")
    shrink_weights(model, placement)

    assert torch.equal(target.module.weight.double(), rounded(before + 0.5 * 0.01 * 0.01))


@pytest.mark.parametrize(
    ("options", "unet", "text"),
    [({}, False, False), ({"fp8_base_unet": True}, True, False), ({"fp8_base": True}, True, True)],
)
def test_the_options_choose_the_parts(options, unet, text):
    placement = place(half_precision(CPU), ModelOptions(**options))

    assert (placement.unet_in_eight_bits, placement.text_in_eight_bits) == (unet, text)


def test_a_device_without_such_numbers_is_refused():
    with pytest.raises(EnvironmentProblem) as caught:
        place(half_precision(torch.device("mps")), ModelOptions(fp8_base_unet=True))

    assert (caught.value.where, caught.value.what) == ("--fp8_base_unet", "The device mps has no 8-bit numbers.")


def half_precision(device):
    return Precision("bf16", torch.bfloat16, FLOAT32, device)


def test_a_layer_taken_back_from_a_network_still_reads_its_weight():
    unet = tiny_unet()
    eight_bit.shrink(unet, eight_bit.of_unet)
    before = predicted(unet, FLOAT32)
    network = lora_on(unet)
    assert not torch.equal(predicted(unet, FLOAT32), before)

    network.remove()

    assert torch.equal(predicted(unet, FLOAT32), before)


def test_layers_that_keep_other_things_than_weights_in_eight_bits_are_no_layers_of_ours():
    strange = nn.LayerNorm(4)
    strange.weight.data = strange.weight.data.to(FLOAT8)

    with pytest.raises(AssertionError, match="LayerNorm cannot read 8 bits"):
        eight_bit.teach_layers(strange)
