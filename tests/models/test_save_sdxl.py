"""SDXL models on disk, read back by diffusers' and transformers' own readers."""

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from tanren.models.build import quiet_libraries
from tanren.models.save import write_single_file
from tanren.models.save_folder import write_folder
from tiny_models import tiny_parts


@pytest.fixture(scope="module")
def parts():
    return tiny_parts("sdxl")


@pytest.fixture(scope="module")
def folder(parts, tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("sdxl") / "model", parts, dtype=torch.float32)


def assert_equal_weights(found, wanted):
    found, wanted = found.state_dict(), wanted.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def assert_equal_models(pipe, parts):
    assert_equal_weights(pipe.unet, parts.unet)
    assert_equal_weights(pipe.vae, parts.vae)
    assert_equal_weights(pipe.text_encoder, parts.text_encoders[0])
    assert_equal_weights(pipe.text_encoder_2, parts.text_encoders[1])


def test_a_pipeline_opens_from_our_folder(parts, folder):
    with quiet_libraries():
        pipe = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True, add_watermarker=False)

    assert_equal_models(pipe, parts)
    assert pipe.tokenizer.pad_token_id == 49407
    assert pipe.tokenizer_2.pad_token_id == 0
    assert pipe.vae.config.scaling_factor == 0.13025


def test_a_pipeline_opens_from_our_single_file(parts, folder, tmp_path):
    path = write_single_file(tmp_path / "model.safetensors", parts, dtype=torch.float32)

    with quiet_libraries():
        pipe = StableDiffusionXLPipeline.from_single_file(
            str(path), config=str(folder), local_files_only=True, add_watermarker=False
        )

    assert_equal_models(pipe, parts)
