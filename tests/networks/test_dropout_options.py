"""The three kinds of dropout as options switch them on: next to 1, little but the frozen model is left."""

import pytest
import torch
from networks.tiny import forward, tiny_unet, unet_targets
from tanren.networks.lora import attach
from tanren.options.network import NetworkOptions

NEARLY_ALWAYS = 1 - 1e-6


def predictions(**options):
    """What a model says without a network, with it in training, and with it in use."""
    unet = tiny_unet()
    plain = forward(unet)
    network = attach(unet_targets(unet), NetworkOptions(network_dim=4, **options), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    with torch.no_grad():
        network.train()
        torch.manual_seed(0)
        training = forward(unet)
        network.eval()
        return plain, training, forward(unet)


@pytest.mark.option("network_dropout", "network_args")
@pytest.mark.parametrize(
    "options",
    [
        {"network_dropout": NEARLY_ALWAYS},
        {"network_args": (f"rank_dropout={NEARLY_ALWAYS}",)},
        {"network_args": (f"module_dropout={NEARLY_ALWAYS}",)},
    ],
    ids=["network_dropout", "rank_dropout", "module_dropout"],
)
def test_what_is_dropped_is_missing_in_training_and_there_in_use(options):
    plain, training, used = predictions(**options)
    _, whole, same = predictions()

    torch.testing.assert_close(training, plain)
    assert not torch.allclose(used, plain, atol=1e-2)
    assert torch.equal(used, same) and torch.equal(whole, same)


@pytest.mark.option("network_dropout")
def test_half_of_the_neurons_are_dropped_and_the_others_count_twice():
    _, training, used = predictions(network_dropout=0.5)

    assert not torch.allclose(training, used, atol=1e-3)
