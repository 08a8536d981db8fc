"""The one-node layer against the same formula written plainly and left to autograd."""

import pytest
import torch
import torch.nn.functional as F
from tanren.networks.lora_layer import Dropout, LoraLayer
from torch import nn
from torch.utils.checkpoint import checkpoint

LEAVES = {
    "linear": lambda: (nn.Linear(6, 5), (2, 3, 6)),
    "linear without bias": lambda: (nn.Linear(6, 5, bias=False), (2, 6)),
    "conv 1x1": lambda: (nn.Conv2d(6, 5, 1), (2, 6, 4, 4)),
    "conv 3x3": lambda: (nn.Conv2d(6, 5, 3, padding=1), (2, 6, 4, 4)),
    "conv 3x3 stride 2": lambda: (nn.Conv2d(6, 5, 3, stride=2, padding=1), (2, 6, 4, 4)),
}


def make(kind: str, dtype=torch.float32, **drop) -> tuple[nn.Module, LoraLayer, torch.Tensor]:
    torch.manual_seed(0)
    leaf, shape = LEAVES[kind]()
    leaf = leaf.to(dtype).requires_grad_(False)
    down = torch.randn(3, *leaf.weight.shape[1:])
    up = torch.randn(5, 3, *[1] * (leaf.weight.dim() - 2))
    layer = LoraLayer(leaf, down, up, alpha=1.5, dropout=Dropout(**drop))
    return leaf, layer, torch.randn(shape).to(dtype)


def plainly(leaf: nn.Module, layer: LoraLayer, x: torch.Tensor) -> torch.Tensor:
    """W' = W + alpha / rank · up · down, merged, so that nothing of the layer's way of computing is shared."""
    change = (layer.up.flatten(1) @ layer.down.flatten(1)).view(leaf.weight.shape) * (1.5 / 3)
    weight = leaf.weight + change
    if isinstance(leaf, nn.Linear):
        return F.linear(x, weight, leaf.bias)
    return F.conv2d(x, weight, leaf.bias, stride=leaf.stride, padding=leaf.padding)


def gradients(y: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    weights = torch.linspace(-1, 1, y.numel()).view(y.shape).to(y.dtype)
    return torch.autograd.grad((y * weights).sum(), inputs)


@pytest.mark.parametrize("kind", LEAVES)
def test_output_and_gradients_equal_those_of_the_merged_weight(kind):
    leaf, layer, x = make(kind)
    x.requires_grad_()

    ours, plain = leaf(x), plainly(leaf, layer, x)

    torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(
        gradients(ours, x, layer.down, layer.up), gradients(plain, x, layer.down, layer.up), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LEAVES)
def test_inputs_without_gradient_still_train_the_layer(kind):
    leaf, layer, x = make(kind)

    ours = gradients(leaf(x), layer.down, layer.up)

    for mine, theirs in zip(ours, gradients(plainly(leaf, layer, x), layer.down, layer.up), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LEAVES)
def test_frozen_layers_pass_the_gradient_of_their_input_on(kind):
    leaf, layer, x = make(kind)
    layer.requires_grad_(False)
    x.requires_grad_()

    (ours,) = gradients(leaf(x), x)

    torch.testing.assert_close(ours, gradients(plainly(leaf, layer, x), x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LEAVES)
def test_a_layer_used_twice_gets_the_sum_of_both_gradients(kind):
    leaf, layer, x = make(kind)

    both = gradients(torch.stack([leaf(x), leaf(2 * x)]), layer.down)[0]

    plain = gradients(torch.stack([plainly(leaf, layer, x), plainly(leaf, layer, 2 * x)]), layer.down)[0]
    torch.testing.assert_close(both, plain, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kind", LEAVES)
def test_recomputed_layers_give_the_same_gradients_also_with_dropout(kind, reentrant):
    leaf, layer, x = make(kind, neurons=0.3, ranks=0.3, layer=0.3)
    x.requires_grad_()

    def run(use_checkpoint: bool) -> tuple[torch.Tensor, ...]:
        torch.manual_seed(3)
        layer.zero_grad()
        x.grad = None
        y = checkpoint(leaf, x, use_reentrant=reentrant) if use_checkpoint else leaf(x)
        y.square().sum().backward()
        return x.grad, layer.down.grad, layer.up.grad

    for kept, recomputed in zip(run(False), run(True), strict=True):
        torch.testing.assert_close(kept, recomputed, rtol=0, atol=0)


@pytest.mark.parametrize("kind", LEAVES)
def test_bfloat16_models_get_bfloat16_answers_and_float32_gradients_for_the_layer(kind):
    leaf, layer, x = make(kind, torch.bfloat16)
    x.requires_grad_()

    y = leaf(x)
    of_x, of_down, of_up = gradients(y, x, layer.down, layer.up)

    assert (y.dtype, of_x.dtype, of_down.dtype, of_up.dtype) == (*[torch.bfloat16] * 2, *[torch.float32] * 2)
    exact = LoraLayer(leaf.float(), layer.down.detach(), layer.up.detach(), 1.5, Dropout())
    reference = gradients(plainly(leaf, exact, x.detach().float()), exact.down)[0]
    assert (of_down - reference).norm() < 0.02 * reference.norm()


@pytest.mark.parametrize("kind", LEAVES)
def test_under_autocast_the_answer_has_the_dtype_autocast_gives_the_plain_layer(kind):
    leaf, layer, x = make(kind)
    x.requires_grad_()

    with torch.autocast("cpu", torch.bfloat16):
        y = leaf(x)
        expected = plainly(leaf, layer, x)
    of_x, of_down = gradients(y, x, layer.down)

    assert y.dtype == torch.bfloat16
    assert (of_x.dtype, of_down.dtype) == (torch.float32, torch.float32)
    assert (y - expected).float().norm() < 0.02 * expected.float().norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_x_is_saved_once_in_the_dtype_of_the_frozen_layer(dtype):
    leaf, _, x = make("linear", dtype)
    saved = []

    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        leaf(x.requires_grad_())

    of_x = [tensor for tensor in saved if tensor.numel() == x.numel()]
    assert len(of_x) == 1
    assert of_x[0].data_ptr() == x.data_ptr()
    assert {tensor.dtype for tensor in saved} == {dtype}


@pytest.mark.parametrize("kind", [kind for kind in LEAVES if kind.startswith("conv")])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolutions_keep_the_memory_format_forward_and_backward(kind, memory_format):
    leaf, layer, x = make(kind)
    x = x.to(memory_format=memory_format).requires_grad_()
    layer.multiplier = 0
    frozen = leaf(x)
    layer.multiplier = 1.0

    y = leaf(x)
    grad = torch.autograd.grad(y, x, torch.ones_like(y))[0]

    assert y.stride() == frozen.stride()
    assert y.is_contiguous(memory_format=memory_format)
    assert grad.is_contiguous(memory_format=memory_format)


def test_rows_of_a_linear_layer_stay_contiguous_also_for_transposed_inputs():
    leaf, layer, _ = make("linear")
    x = torch.randn(2, 6, 3).transpose(1, 2)

    y = leaf(x)

    assert y.is_contiguous()
    torch.testing.assert_close(y, plainly(leaf, layer, x), rtol=1e-5, atol=1e-5)


def test_multiplier_0_is_the_frozen_layer_bit_for_bit_and_others_scale_the_change():
    leaf, layer, x = make("linear")
    frozen = F.linear(x, leaf.weight, leaf.bias)
    full = leaf(x) - frozen

    layer.multiplier = 0
    assert torch.equal(leaf(x), frozen)
    layer.multiplier = -0.5
    torch.testing.assert_close(leaf(x) - frozen, -0.5 * full, rtol=1e-4, atol=1e-5)


def test_removing_the_layer_gives_the_frozen_forward_back():
    leaf, layer, x = make("linear")

    layer.remove()

    assert "forward" not in leaf.__dict__
    assert torch.equal(leaf(x), F.linear(x, leaf.weight, leaf.bias))


@pytest.mark.parametrize("kind", ["linear", "conv 3x3"])
def test_a_second_layer_on_the_same_leaf_adds_to_the_first(kind):
    leaf, first, x = make(kind)
    once = leaf(x)
    second = LoraLayer(leaf, first.down.detach(), first.up.detach(), 1.5, Dropout())
    first.multiplier = 0
    alone = leaf(x)
    first.multiplier = 1.0

    torch.testing.assert_close(alone, once, rtol=1e-5, atol=1e-5)
    assert (leaf(x) - once).abs().max() > 0.1
    second.remove()
    assert torch.equal(leaf(x), once)


def test_a_leaf_that_learns_itself_keeps_its_gradient():
    leaf, layer, x = make("linear")
    leaf.requires_grad_()

    ours = gradients(leaf(x), leaf.weight, layer.down)

    for mine, theirs in zip(ours, gradients(plainly(leaf, layer, x), leaf.weight, layer.down), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LEAVES)
def test_dropout_of_every_kind_keeps_the_mean(kind):
    leaf, layer, x = make(kind, neurons=0.2, ranks=0.2)
    torch.manual_seed(0)

    mean = torch.stack([leaf(x) for _ in range(1500)]).mean(0)

    torch.testing.assert_close(mean, plainly(leaf, layer, x), rtol=0, atol=0.8)


@pytest.mark.parametrize("kind", LEAVES)
def test_rank_dropout_drops_whole_ranks_of_a_sample_and_scales_the_rest(kind):
    _, layer, x = make(kind, ranks=0.5)
    gain = layer._gain(x)

    assert gain is not None
    assert gain.numel() == x.shape[0] * 3
    assert set(gain.flatten().tolist()) <= {0.0, 2.0}


def test_module_dropout_leaves_the_change_out_in_its_share_of_calls():
    leaf, layer, x = make("linear", layer=0.25)
    torch.manual_seed(0)
    frozen, full = F.linear(x, leaf.weight, leaf.bias), plainly(leaf, layer, x)
    answers = [leaf(x) for _ in range(400)]

    without = sum(torch.allclose(answer, frozen, atol=1e-5) for answer in answers)
    with_it = sum(torch.allclose(answer, full, atol=1e-5) for answer in answers)
    assert without + with_it == 400
    assert 70 <= without <= 130


def test_dropout_is_off_in_evaluation():
    leaf, layer, x = make("linear", neurons=0.5, ranks=0.5, layer=0.5)

    layer.eval()

    torch.testing.assert_close(leaf(x), plainly(leaf, layer, x), rtol=1e-5, atol=1e-5)
