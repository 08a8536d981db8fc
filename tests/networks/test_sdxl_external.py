"""Networks of other packages on SDXL: they see the paths of kohya's files and both text encoders."""

from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from tanren.families import sdxl
from tanren.families.base import Placement
from tanren.networks.facade import show_unet
from tanren.networks.modules import attach_network
from tanren.options.network import NetworkOptions
from tiny_models import tiny_parts


@pytest.fixture
def model():
    parts = tiny_parts("sdxl")
    for part in (parts.unet, *parts.text_encoders):
        part.requires_grad_(False)
    return SimpleNamespace(
        family=sdxl.FAMILY,
        denoiser=parts.unet,
        vae=parts.vae,
        text_encoders=list(parts.text_encoders),
        placement=Placement(torch.device("cpu"), torch.float32, torch.float32),
    )


def test_the_shown_unet_has_the_paths_of_files(model):
    shown = dict(show_unet(model.denoiser, sdxl.unet_path).named_modules())

    assert shown["input_blocks.4.1.proj_in"] is model.denoiser.down_blocks[1].attentions[0].proj_in
    assert shown["input_blocks.3.0.op"] is model.denoiser.down_blocks[0].downsamplers[0].conv
    assert shown["middle_block.0.in_layers.0"] is model.denoiser.mid_block.resnets[0].norm1
    assert type(shown["input_blocks.1.0"]).__name__ == "ResnetBlock2D"
    assert type(shown["output_blocks.2.2"]).__name__ == "Upsample2D"
    assert type(shown["middle_block.1"]).__name__ == "Transformer2DModel"


@pytest.mark.skipif(find_spec("lycoris") is None, reason="lycoris-lora is not installed")
def test_lycoris_gives_the_layers_the_names_that_our_own_lora_gives_them(model):
    options = NetworkOptions(network_module="lycoris.kohya", network_dim=2, network_args=("algo=loha", "conv_dim=1"))

    network = attach_network(model, options, 1, lambda path: {})

    names = {name.partition(".")[0] for name in network.tensors()}
    assert names == {target.key for target in sdxl.lora_targets(model)}
