"""LoRA in diffusers' own layout."""

import pytest
import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin as Loader
from networks.tiny import forward_model, tiny_model
from tanren.checkpoint.diffusers_lora import diffusers_tensors, save_for_diffusers
from tanren.checkpoint.weights import load_weights
from tanren.families.sd import lora_targets
from tanren.networks.lora import attach, attach_like
from tanren.options.network import NetworkOptions

FILES = ["pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin"]
ARGS = [(), ("conv_dim=2", "conv_alpha=3")]


def trained(args=(), **options):
    model = tiny_model()
    chosen = {"network_dim": 4, "network_alpha": 2, "network_args": args, **options}
    network = attach(lora_targets(model), NetworkOptions(**chosen), seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model, network.eval()


def saved(network, folder, name):
    folder.mkdir()
    save_for_diffusers(folder / name, network.tensors(), None, {}, paths=network.diffusers_paths())
    return folder


@pytest.mark.option("save_model_as")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("args", ARGS)
def test_diffusers_finds_the_file_in_the_folder_and_predicts_the_same(args, name, tmp_path):
    pytest.importorskip("peft")
    ours, network = trained(args)
    theirs = tiny_model()
    untrained = forward_model(theirs)
    folder = saved(network, tmp_path / "moon", name)

    state, alphas = Loader.lora_state_dict(str(folder), local_files_only=True)
    Loader.load_lora_into_unet(state, network_alphas=alphas, unet=theirs.denoiser)
    Loader.load_lora_into_text_encoder(state, network_alphas=alphas, text_encoder=theirs.text_encoders[0])

    assert not alphas
    assert (forward_model(ours) - untrained).abs().max() > 0.01
    torch.testing.assert_close(forward_model(theirs), forward_model(ours), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("args", ARGS)
def test_a_further_run_can_start_from_it(args, tmp_path):
    ours, network = trained(args)
    file = saved(network, tmp_path / "moon", FILES[0]) / FILES[0]
    again = tiny_model()

    attach_like(lora_targets(again), load_weights(file), NetworkOptions(dim_from_weights=True), 7).eval()

    torch.testing.assert_close(forward_model(again), forward_model(ours), rtol=1e-4, atol=1e-4)


def test_names_are_those_of_the_pipeline_s_modules():
    _, network = trained(network_train_unet_only=True)
    names = diffusers_tensors(network.tensors(), network.diffusers_paths())

    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    assert {f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"} <= names.keys()
    assert len(names) * 3 == len(network.tensors()) * 2


def test_alpha_is_multiplied_into_the_weights_and_ranks_are_made_equal():
    tensors = {
        "x.alpha": torch.tensor(2.0),
        "x.lora_down.weight": torch.tensor([[1.0, 2.0]]),
        "x.lora_up.weight": torch.tensor([[3.0], [4.0]]),
        "y.alpha": torch.tensor(2.0),
        "y.lora_down.weight": torch.eye(2),
        "y.lora_up.weight": torch.eye(2),
    }

    found = diffusers_tensors(tensors, {"x": "unet.x", "y": "unet.y"})

    change = found["unet.x.lora_B.weight"] @ found["unet.x.lora_A.weight"]
    torch.testing.assert_close(change, torch.tensor([[6.0, 12.0], [8.0, 16.0]]))
    assert {tuple(tensor.shape) for tensor in found.values()} == {(2, 2)}
