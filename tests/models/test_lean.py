"""The lean U-Net against the plain one: same numbers, less kept, fewer kernels, nobody waits."""

from collections import Counter

import pytest
import torch
from networks.tiny import tiny_unet, unet_targets
from tanren.models.lean import LeanAttention, make_lean, make_plain
from tanren.networks.lora import attach
from tanren.options.network import NetworkOptions
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

SMALL = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "attention_head_dim": 2,
}
VIEWS = {
    *("view", "_unsafe_view", "t", "transpose", "permute", "expand", "split", "slice", "select", "unsqueeze", "detach"),
    *("alias", "as_strided", "unbind", "squeeze", "split_with_sizes", "_reshape_alias", "chunk"),
    *("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"),
}


def network_on(unet, *args):
    network = attach(unet_targets(unet), NetworkOptions(network_dim=4, network_alpha=4, network_args=args), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def given(unet, size=16):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 4, size, size, generator=generator).to(unet.dtype)
    return x, torch.tensor([10, 700]), torch.randn(2, 7, 12, generator=generator).to(unet.dtype)


def loss_of(unet, x, timesteps, text):
    prediction = unet(x, timesteps, text).sample
    return (prediction.float() * torch.linspace(-1, 1, prediction.numel()).view(prediction.shape)).sum()


def gradients(unet, network):
    network.zero_grad()
    x, timesteps, text = given(unet)
    x.requires_grad_()
    text.requires_grad_()
    loss = loss_of(unet, x, timesteps, text)
    loss.backward()
    return [loss.detach(), x.grad, text.grad, *(parameter.grad.clone() for parameter in network.parameters())]


def assert_close(ours, plain, limit):
    for mine, theirs in zip(ours, plain, strict=True):
        assert (mine.float() - theirs.float()).norm() <= limit * theirs.float().norm() + 1e-9


@pytest.mark.parametrize("args", [(), ("conv_dim=2",)])
@pytest.mark.parametrize("changes", [{}, {"use_linear_projection": True}])
def test_loss_and_every_gradient_equal_the_plain_ones(args, changes):
    unet = tiny_unet(**SMALL, **changes)
    network = network_on(unet, *args)
    plain = gradients(unet, network)

    make_lean(unet)

    assert_close(gradients(unet, network), plain, 1e-5)


def test_channels_last_gives_the_same_gradients():
    unet = tiny_unet(**SMALL)
    network = network_on(unet, "conv_dim=2")
    plain = gradients(unet, network)

    make_lean(unet.to(memory_format=torch.channels_last))

    assert_close(gradients(unet, network), plain, 1e-5)


def test_bfloat16_gradients_stay_as_close_to_float32_as_the_plain_ones():
    unet = tiny_unet(**SMALL)
    network = network_on(unet)
    exact = torch.cat([gradient.flatten() for gradient in gradients(unet, network)[3:]])
    unet.to(torch.bfloat16)
    plain = torch.cat([gradient.flatten() for gradient in gradients(unet, network)[3:]])

    make_lean(unet)

    lean = torch.cat([gradient.flatten() for gradient in gradients(unet, network)[3:]])
    assert (lean - exact).norm() <= 1.1 * (plain - exact).norm()


def test_gradient_checkpointing_gives_the_same_gradients():
    unet = tiny_unet(**SMALL)
    network = network_on(unet)
    plain = gradients(unet, network)
    make_lean(unet)

    unet.enable_gradient_checkpointing()
    unet.train()

    assert_close(gradients(unet, network), plain, 1e-5)


def kept_bytes(unet, network) -> int:
    """Bytes that autograd keeps between forward and backward, weights aside; shared memory counts once."""
    own = {p.untyped_storage().data_ptr() for p in [*unet.parameters(), *network.parameters()]}
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(unet, *given(unet, size=32))
    del loss
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_at_most_seven_tenths_of_the_plain_activations_are_kept(dtype):
    unet = tiny_unet(**SMALL).to(dtype)
    network = network_on(unet)
    plain = kept_bytes(unet, network)

    make_lean(unet)

    assert kept_bytes(unet, network) <= 0.70 * plain


class Kernels(TorchDispatchMode):
    """Counts operations that start a kernel, and refuses those for which the host waits for the device."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        assert name not in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero"), name
        if name not in VIEWS:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def step_kernels(unet, network) -> Counter:
    network.zero_grad()
    inputs = given(unet)
    with Kernels() as kernels:
        loss_of(unet, *inputs).backward()
    return kernels.counts


SD1_BLOCKS = {
    "block_out_channels": (8, 16, 32, 32),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
}


def test_a_step_on_the_blocks_of_sd1_never_waits_and_starts_at_most_2700_kernels():
    unet = tiny_unet(**SD1_BLOCKS)
    network = network_on(unet)
    make_lean(unet)

    counts = step_kernels(unet, network)

    # The same LoRA written plainly (two layers, a product and a sum each) on the plain U-Net needs 3,269.
    assert counts.total() <= 2700


def test_lean_is_undone_completely():
    unet = tiny_unet(**SMALL)
    make_lean(unet)
    assert any(isinstance(processor, LeanAttention) for processor in unet.attn_processors.values())

    make_plain(unet)

    assert not [name for name, module in unet.named_modules() if "forward" in module.__dict__]
    assert not any(isinstance(processor, LeanAttention) for processor in unet.attn_processors.values())


def test_a_network_attached_after_it_works_too_and_keeps_its_hooks():
    unet, other = tiny_unet(**SMALL), tiny_unet(**SMALL)
    network = network_on(unet, "conv_dim=2")
    expected = gradients(unet, network)
    make_lean(other)

    late = network_on(other, "conv_dim=2")

    assert_close(gradients(other, late), expected, 1e-5)
    make_plain(other)
    assert_close(gradients(other, late), expected, 1e-5)


@pytest.mark.parametrize("name", ["down_blocks.0.resnets.0.norm1", "down_blocks.0.resnets.0.conv2", "conv_out"])
def test_layers_that_learn_keep_their_gradients(name):
    def gradient(is_lean: bool) -> torch.Tensor:
        unet = tiny_unet(**SMALL)
        layer = unet.get_submodule(name).requires_grad_()
        if is_lean:
            make_lean(unet)
        loss_of(unet, *given(unet)).backward()
        return layer.weight.grad

    torch.testing.assert_close(gradient(True), gradient(False), rtol=1e-4, atol=1e-4)


def test_hooks_on_a_norm_are_called():
    unet = tiny_unet(**SMALL)
    make_lean(unet)
    norm = unet.get_submodule("mid_block.resnets.0.norm2")
    before = loss_of(unet, *given(unet))

    norm.forward = lambda x: 2 * nn.GroupNorm.forward(norm, x)

    assert loss_of(unet, *given(unet)) != before


def test_dropout_between_the_projections_leaves_the_feed_forward_plain():
    unet = tiny_unet(**SMALL)
    feed_forward = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.ff")
    feed_forward.net[1].p = 0.1

    make_lean(unet)

    assert "forward" not in feed_forward.__dict__
