"""Networks of other packages on real small models: LyCORIS when it is installed, and one written here."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from networks.tiny import forward_model, tiny_model
from safetensors.torch import load_file
from tanren.errors import EnvironmentProblem, UsageError
from tanren.models.lean import make_lean
from tanren.networks.base import LearningRates
from tanren.networks.facade import show_text_encoder, show_unet
from tanren.networks.lora_layer import LoraLayer
from tanren.networks.modules import attach_network, merge_base_weights
from tanren.options.network import NetworkOptions
from torch import nn


def options(**values) -> NetworkOptions:
    return NetworkOptions(**{"network_module": "lycoris.kohya", "network_dim": 4, **values})


def never_read(path: Path):
    raise AssertionError(f"{path} is read by the network itself")


def attached(model, seed=1, **values):
    return attach_network(model, options(**values), seed, never_read)


def train(model, network, steps=3) -> list[float]:
    groups = network.parameter_groups(LearningRates(default=1e-2))
    optimizer = torch.optim.AdamW([{"params": group.params, "lr": group.lr} for group in groups])
    target = forward_model(model).detach() + 1
    network.on_epoch_start()
    losses = []
    for _ in range(steps):
        network.on_step_start()
        loss = (forward_model(model) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    network.eval()
    return losses


def test_the_facade_shows_the_live_leaves_under_kohyas_paths():
    model = tiny_model()

    unet, text = show_unet(model.denoiser, str), show_text_encoder(model.text_encoders[0])

    shown = dict(unet.named_modules())
    path = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    assert shown[path] is model.denoiser.get_submodule(path)
    assert type(shown["mid_block.attentions.0"]).__name__ == "Transformer2DModel"
    assert "conv_in" not in shown and "time_embedding.linear_1" not in shown
    assert "text_model.encoder.layers.0.mlp.fc1" in dict(text.named_modules())
    assert (unet.dtype, unet.device) == (torch.float32, torch.device("cpu"))


lycoris = pytest.mark.skipif(find_spec("lycoris") is None, reason="lycoris-lora is not installed")


@lycoris
@pytest.mark.parametrize("algo", ["locon", "loha", "lokr"])
def test_lycoris_trains_saves_and_loads_with_its_default_preset(algo, tmp_path):
    model = tiny_model()
    network = attached(model, network_args=(f"algo={algo}", "conv_dim=2"))
    losses = train(model, network)
    file, trained = tmp_path / "net.safetensors", forward_model(model)
    network.save(file, None, {"ss_test": "1"}, never_read)

    again = tiny_model()
    loaded = attached(again, seed=2, network_weights=str(file), network_args=(f"algo={algo}", "conv_dim=2"))
    loaded.eval()

    assert losses[-1] < losses[0]
    torch.testing.assert_close(forward_model(again), trained, rtol=1e-4, atol=1e-4)


@lycoris
def test_lycoris_names_are_those_of_our_own_convolution_lora(tmp_path):
    model = tiny_model()
    network = attached(model, network_args=("conv_dim=2", "conv_alpha=1"))
    ours = attach_network(
        tiny_model(), options(network_module="networks.lora", network_args=("conv_dim=2",)), 1, never_read
    )
    network.save(tmp_path / "net.safetensors", torch.float16, {}, never_read)

    saved = load_file(tmp_path / "net.safetensors")

    assert {name.split(".")[0] for name in saved} == {name.split(".")[0] for name in ours.tensors()}
    assert {tensor.dtype for tensor in saved.values()} == {torch.float16}
    assert {name: t.shape for name, t in saved.items() if "lora" in name.split(".", 1)[1]} == {
        name: t.shape for name, t in ours.tensors().items() if "lora" in name.split(".", 1)[1]
    }


@lycoris
def test_the_start_of_a_lycoris_network_depends_on_the_seed_alone():
    torch.manual_seed(5)
    first = attached(tiny_model(), seed=1).tensors()
    torch.manual_seed(6)
    second = attached(tiny_model(), seed=1).tensors()

    assert all(torch.equal(first[name], second[name]) for name in first)


@lycoris
def test_lycoris_state_put_back_gives_the_same_network():
    model = tiny_model()
    network = attached(model)
    train(model, network)
    saved, trained = network.tensors(), forward_model(model)
    again = tiny_model()
    other = attached(again, seed=3)
    other.load_tensors(saved)
    other.eval()

    assert torch.equal(forward_model(again), trained)


@lycoris
def test_lycoris_unet_only_and_rates_per_part():
    both = attached(tiny_model())
    groups = both.parameter_groups(LearningRates(default=1e-3, unet=1e-4, text_encoders=(1e-5,)))
    unet_only = attached(tiny_model(), network_train_unet_only=True)

    assert [(group.name, group.lr) for group in groups] == [("textencoder", 1e-5), ("unet", 1e-4)]
    assert (unet_only.trains_unet, unet_only.trains_text_encoder) == (True, False)
    assert not [name for name in unet_only.tensors() if name.startswith("lora_te")]


@lycoris
def test_lycoris_parts_without_a_rate_gather_no_gradients():
    model = tiny_model()
    network = attached(model)
    groups = network.parameter_groups(LearningRates(default=1e-3, unet=0.0))

    network.on_epoch_start()
    forward_model(model).square().mean().backward()

    learning = [parameter for group in groups for parameter in group.params]
    assert {id(parameter) for parameter in network.trainable()} == {id(parameter) for parameter in learning}
    frozen = {id(parameter) for parameter in network.network.parameters()} - {id(one) for one in learning}
    assert frozen
    assert all(one.grad is None for one in network.network.parameters() if id(one) in frozen)


@lycoris
def test_lycoris_dimensions_come_from_the_file(tmp_path):
    model = tiny_model()
    network = attached(model, network_dim=3, network_args=("algo=loha",))
    train(model, network)
    file, trained = str(tmp_path / "net.safetensors"), forward_model(model)
    network.save(Path(file), None, {}, never_read)

    again = tiny_model()
    attached(again, network_dim=None, dim_from_weights=True, network_weights=file).eval()

    torch.testing.assert_close(forward_model(again), trained, rtol=1e-4, atol=1e-4)


@lycoris
def test_lycoris_base_weights_are_merged_at_their_strength(tmp_path):
    model = tiny_model()
    network = attached(model)
    train(model, network)
    file = str(tmp_path / "net.safetensors")
    network.save(Path(file), None, {}, never_read)
    network.set_multiplier(0.5)
    expected, merged = forward_model(model), tiny_model()

    notes = merge_base_weights(merged, options(base_weights=(file,), base_weights_multiplier=(0.5,)), never_read)

    torch.testing.assert_close(forward_model(merged), expected, rtol=1e-4, atol=1e-4)
    assert notes == [f"{file} is merged into the base model at strength 0.5."]


@lycoris
def test_lycoris_max_norm_is_reported_as_tensors():
    model = tiny_model()
    network = attached(model)
    train(model, network)

    told = network.apply_max_norm(0.001)

    assert told is not None
    assert told.scaled.item() > 0
    assert told.maximum.item() <= 0.0011


@lycoris
def test_arguments_a_module_refuses_are_told_in_its_words():
    with pytest.raises(UsageError) as caught:
        attached(tiny_model(), network_args=("conv_dim=four",))

    assert "lycoris.kohya refused its arguments." in str(caught.value)
    assert "'four'" in str(caught.value)


def test_modules_that_cannot_be_imported_are_an_environment_problem():
    with pytest.raises(EnvironmentProblem, match=r"no_such_network\.kohya cannot be imported"):
        attached(tiny_model(), network_module="no_such_network.kohya")


def test_modules_without_create_network_are_refused():
    with pytest.raises(UsageError, match=r"json\.decoder is not a network module"):
        attached(tiny_model(), network_module="json.decoder")


class Recorder(nn.Module):
    """A network of the oldest kind: no multiplier, no norms, two learning rates; remembers what it is asked."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.calls = []

    def apply_to(self, text_encoder, unet, apply_text_encoder, apply_unet):
        self.calls.append(("apply_to", apply_text_encoder, apply_unet))

    def load_weights(self, path):
        self.calls.append(("load_weights", path))
        return "fine"

    def prepare_optimizer_params(self, text_encoder_lr, unet_lr):
        self.calls.append(("prepare_optimizer_params", text_encoder_lr, unet_lr))
        return [{"params": {"weight": self.weight}.values(), "lr": unet_lr}]

    def prepare_grad_etc(self, text_encoder, unet):
        self.calls.append(("prepare_grad_etc",))

    def on_epoch_start(self, text_encoder, unet):
        self.calls.append(("on_epoch_start",))

    def get_trainable_params(self):
        return self.parameters()

    def save_weights(self, path, dtype, metadata):
        metadata["changed"] = "yes"
        torch.save({"w": torch.zeros(1)}, path)
        self.calls.append(("save_weights", Path(path).name, dtype))


@pytest.fixture
def recorded(monkeypatch):
    """A module on the import path, as a person at the shell would name it."""
    module = type(sys)("old_network")
    module.given = []

    def create_network(*positional, **keyword):
        module.given.append((positional, keyword))
        return Recorder()

    module.create_network = create_network
    monkeypatch.setitem(sys.modules, "old_network", module)
    return module


def test_create_network_gets_what_sd_scripts_hands_over(recorded):
    model = tiny_model()

    attached(model, network_module="old_network", network_alpha=2.0, network_dropout=0.1, network_args=("a=1", "b=x=y"))

    positional, keyword = recorded.given[0]
    assert positional[:4] == (1.0, 4, 2.0, model.vae)
    assert isinstance(positional[4], nn.Module)
    assert keyword == {"neuron_dropout": 0.1, "dropout": 0.1, "a": "1", "b": "x=y"}


def test_the_network_is_called_in_the_order_it_relies_on(recorded, tmp_path):
    network = attached(
        tiny_model(),
        network_module="old_network",
        network_weights="w.pt",
        scale_weight_norms=1.0,
        network_args=("a=1",),
    )
    groups = network.parameter_groups(LearningRates(default=1e-3, unet=1e-4))
    metadata = {"ss": "1"}
    network.on_epoch_start()
    network.on_step_start()
    network.on_epoch_start()
    network.save(tmp_path / "n.pt", torch.float16, metadata, never_read)

    assert network.network.calls == [
        ("apply_to", True, True),
        ("load_weights", "w.pt"),
        ("prepare_optimizer_params", 1e-3, 1e-4),
        ("prepare_grad_etc",),
        ("on_epoch_start",),
        ("on_epoch_start",),
        ("save_weights", "n.pt", torch.float16),
    ]
    assert [(group.name, group.lr, len(group.params)) for group in groups] == [("group 0", 1e-4, 1)]
    assert metadata == {"ss": "1"}
    assert network.notes == [
        "--scale_weight_norms is off: old_network cannot limit its norms.",
        "w.pt: fine",
    ]
    assert network.apply_max_norm(1.0) is None
    assert network.module_args == {"a": "1", "dropout": None}


def test_a_network_without_multiplier_says_so_when_one_is_needed(recorded):
    network = attached(tiny_model(), network_module="old_network")

    network.set_multiplier(1.0)
    with pytest.raises(UsageError, match="old_network cannot change its strength"):
        network.set_multiplier(0.0)


def test_a_module_that_makes_no_network_is_refused(recorded):
    recorded.create_network = lambda *given, **also: None

    with pytest.raises(UsageError, match="old_network made no network"):
        attached(tiny_model(), network_module="old_network")


def test_our_own_network_starts_from_files_and_merges_base_weights(tmp_path):
    first = attach_network(tiny_model(), options(network_module="networks.lora"), 1, never_read)
    with torch.no_grad():
        for layer in first.layers.values():
            layer.up.add_(0.1)
    started = attach_network(
        tiny_model(),
        options(network_module="networks.lora", network_weights="a"),
        2,
        lambda path: first.tensors(),
    )
    like = attach_network(
        tiny_model(),
        options(network_module="networks.lora", network_dim=None, network_weights="a", dim_from_weights=True),
        2,
        lambda path: first.tensors(),
    )
    merged = tiny_model()
    notes = merge_base_weights(
        merged,
        options(network_module="networks.lora", base_weights=("a", "b"), base_weights_multiplier=(0.5,)),
        lambda path: first.tensors(),
    )

    assert isinstance(next(iter(started.layers.values())), LoraLayer)
    for network in (started, like):
        assert all(torch.equal(tensor, first.tensors()[name]) for name, tensor in network.tensors().items())
    assert notes == [
        "a is merged into the base model at strength 0.5.",
        "b is merged into the base model at strength 1.",
    ]
    assert not torch.allclose(forward_model(merged), forward_model(tiny_model()))


@lycoris
@pytest.mark.parametrize("algo", ["locon", "loha"])
def test_lycoris_learns_on_a_lean_bfloat16_model_under_autocast(algo):
    model = tiny_model()
    network = attached(model, network_args=(f"algo={algo}", "conv_dim=2"))
    model.denoiser.to(torch.bfloat16)
    make_lean(model.denoiser)
    network.parameter_groups(LearningRates(default=1e-3))
    network.on_epoch_start()
    generator = torch.Generator().manual_seed(1)
    noisy, text = (torch.randn(size, generator=generator).bfloat16() for size in ((2, 4, 8, 8), (2, 6, 12)))

    with torch.autocast("cpu", torch.bfloat16):
        model.denoiser(noisy, torch.tensor([10, 10]), text).sample.float().sum().backward()

    gradients = {name: p.grad for name, p in network.network.named_parameters() if name.startswith("lora_unet")}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    # At the start one factor of a layer is zero, so that only that one has a gradient.
    learning = {name.split(".")[0] for name, gradient in gradients.items() if gradient.any()}
    assert learning == {name.split(".")[0] for name in gradients}
