"""Files of our network in diffusers' own loader."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin as Loader
from networks.tiny import forward_model, text_targets, tiny_model, tiny_unet, unet_targets
from tanren.checkpoint.weights import save_weights
from tanren.models.configs import STANDARD
from tanren.models.lean import make_lean, make_plain
from tanren.networks.lora import attach
from tanren.options.network import NetworkOptions

pytest.importorskip("peft")


@pytest.mark.parametrize("changes", [{}, {"use_linear_projection": True}])
@pytest.mark.parametrize("args", [(), ("conv_dim=2", "conv_alpha=3")])
def test_diffusers_loads_our_file_and_predicts_the_same(args, changes, tmp_path):
    ours, theirs = tiny_model(), tiny_model()
    ours.denoiser, theirs.denoiser = tiny_unet(**changes), tiny_unet(**changes)
    targets = unet_targets(ours.denoiser) + text_targets(ours.text_encoders[0])
    network = attach(targets, NetworkOptions(network_dim=4, network_alpha=2, network_args=args), seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    network.eval()
    untrained = forward_model(theirs)
    network.save(tmp_path / "lora.safetensors", None, {}, save_weights)

    state, alphas = Loader.lora_state_dict(str(tmp_path / "lora.safetensors"), unet_config=theirs.denoiser.config)
    Loader.load_lora_into_unet(state, network_alphas=alphas, unet=theirs.denoiser)
    Loader.load_lora_into_text_encoder(state, network_alphas=alphas, text_encoder=theirs.text_encoders[0])

    assert (forward_model(ours) - untrained).abs().max() > 0.01
    torch.testing.assert_close(forward_model(theirs), forward_model(ours), rtol=1e-4, atol=1e-4)


@pytest.mark.proof
def test_diffusers_predicts_the_same_on_a_full_size_unet(tmp_path):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**STANDARD["sd1"].unet).requires_grad_(False).eval()
    network = attach(unet_targets(unet), NetworkOptions(network_dim=8, network_alpha=4), seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    make_lean(unet)
    given = torch.randn(1, 4, 32, 32), torch.tensor([500]), torch.randn(1, 77, 768)
    with torch.no_grad():
        ours = unet(*given).sample
        network.set_multiplier(0.0)
        untrained = unet(*given).sample
    network.save(tmp_path / "lora.safetensors", None, {}, save_weights)
    make_plain(unet)
    network.remove()

    state, alphas = Loader.lora_state_dict(str(tmp_path / "lora.safetensors"), unet_config=unet.config)
    Loader.load_lora_into_unet(state, network_alphas=alphas, unet=unet)
    with torch.no_grad():
        theirs = unet(*given).sample

    assert len(network.tensors()) == 576
    assert (ours - untrained).abs().max() > 0.01
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-3)
