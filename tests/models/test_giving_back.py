"""Weights that are converted while they are read: their old bytes are given back, and nothing else is."""

from dataclasses import replace

import pytest
import torch
from tanren.events import Report
from tanren.models.build import build_projecting_encoder, build_text_encoder, build_unet, build_vae, quiet_libraries
from tanren.models.load import open_base
from tanren.models.save import write_single_file
from tiny_models import tiny_parts, tiny_sd
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("sdxl") / "sdxl.safetensors", "sdxl")


@pytest.mark.parametrize("map_file", [True, False], ids=["mapped", "read"])
def test_every_converted_weight_of_every_part_is_given_back(path, map_file):
    source = open_base(path, map_file=map_file)
    first, second = source.text_encoders
    parts = [(build_text_encoder, first), (build_projecting_encoder, second), (build_vae, source.vae)]

    for build, part in [*parts, (build_unet, source.unet)]:
        given_back = []
        model = build(
            replace(
                part, file=replace(part.file, give_back=lambda tensor, names=given_back: names.append(tensor.shape))
            ),
            CPU,
            torch.bfloat16,
            Report(),
        )
        assert len(given_back) == len(model.state_dict()), part.title
        assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("map_file", [True, False], ids=["mapped", "read"])
def test_weights_that_lie_together_in_the_file_survive_each_others_conversion(tmp_path, map_file):
    """Query, key and value of OpenCLIP are one matrix in the file; here each of them fills many pages of memory."""
    small = tiny_parts("sdxl")
    config = {
        **small.configs.text_encoders[1],
        **{"hidden_size": 192, "intermediate_size": 300, "num_hidden_layers": 2, "projection_dim": 144},
    }
    with quiet_libraries():
        encoder = CLIPTextModelWithProjection(CLIPTextConfig(**config)).eval()
    configs = replace(small.configs, text_encoders=(small.configs.text_encoders[0], config))
    parts = replace(small, configs=configs, text_encoders=(small.text_encoders[0], encoder))
    path = write_single_file(tmp_path / "model.safetensors", parts, dtype=torch.float32)

    part = open_base(path, map_file=map_file).text_encoders[1]
    read = build_projecting_encoder(part, CPU, torch.bfloat16, Report()).state_dict()

    for name, weight in encoder.state_dict().items():
        assert torch.equal(read[name], weight.bfloat16()), name
